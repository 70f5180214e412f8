"""The training loop: one page, maintenance first, the step last (arXiv 2312.02696's code is the model).

The same command resumes, bit for bit on one machine: every draw is a function of the images seen. A signal is honoured
at the next step boundary. Of several processes (`state.group`) each takes its share of every step; the first one alone
writes and reports, and all stop together.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from hdgan.errors import BadConfig, Diverged, Interrupted
from hdgan.generator.conditions import one_hot
from hdgan.generator.crops import Crops
from hdgan.generator.feeding import Feeder
from hdgan.generator.phases import train_step
from hdgan.generator.protocol import to_uint8
from hdgan.generator.settings import TrainSettings
from hdgan.generator.shares import places
from hdgan.generator.state import TrainingState, from_tensors, misfit, to_tensors
from hdgan.generator.statistics import Statistics
from hdgan.generator.watch import BEST, Criterion, Reference, is_best
from hdgan.generator.yardstick import Yardstick
from hdgan.progress import Progress
from hdgan.store.atomic import write_png
from hdgan.training import checkpoint
from hdgan.training.devices import whole_float32
from hdgan.training.seeds import torch_stream
from hdgan.training.signals import StopRequest

STATE = "state"
GRIDS = "grids"
_GRID_EDGE = 6
_GRID_IMAGE_PX = 256
_LARGEST_ROW_PX = 1024
"""Images of a grid that are larger are drawn one by one: six of 4096 px at a time hold more than the whole training step."""
_POOR_VARIETY = 0.5


@dataclass(frozen=True)
class Upkeep:
    """How often the loop reports and saves; none of it changes a result."""

    snapshot_images: int
    save_seconds: float
    best: Criterion = BEST
    """By which the best state so far is told, to be kept beside the newest three."""
    quality_images: int = 0
    """How many images of a snapshot are measured against real crops; 0: none."""
    keeps_snapshots: bool = False
    """Whether the averaged weights of every snapshot stay beside the states."""


def train(
    state: TrainingState,
    crops: Crops,
    settings: TrainSettings,
    *,
    out: Path,
    upkeep: Upkeep,
    progress: Progress,
    stop: StopRequest | None = None,
) -> None:
    """Trains until `settings.kimg`, resuming from the newest whole state below `out`; `stop` is listened to where a caller listens already.

    Raises:
        Interrupted: a signal asked to stop, this process or another; the state is saved.
        LostProcess: another process ended; the last state is kept.
        Diverged: a gradient or a weight was not finite, in whichever process; the last state is kept.
    """
    _require_rgb(state)
    group, last, device = state.group, int(settings.kimg * 1000), state.path_mean.device
    mine = places(settings, state.G.spec, group)
    rows = _resume(state, out, progress)
    p_max = settings.ada_p_max if settings.is_adaptive else None
    statistics = Statistics(rows, out=out if group.is_first else None, p_max=p_max, progress=progress)
    reference = Reference(crops, num=_GRID_EDGE**2)
    saved_at = time.monotonic()
    yardstick = Yardstick(crops, num=upkeep.quality_images) if upkeep.quality_images and group.is_first else None
    steps = -(-(last - state.num_images) // settings.batch)  # whole batches: 50 images by batches of 4 are 52
    progress.start("training the generator", total=state.num_images + max(steps, 0) * settings.batch, done=state.num_images)
    feeder = Feeder(crops, mine, device, batch=settings.batch, progress=progress)
    with feeder, nullcontext(stop) if stop is not None else StopRequest() as stop, statistics.with_events():
        feeder.begin(state.num_images)
        while True:
            is_last = state.num_images >= last
            is_stopped, is_due = group.any(bool(stop), group.is_first and time.monotonic() - saved_at > upkeep.save_seconds)
            is_snapshot = state.num_images > 0 and (is_last or state.num_images % upkeep.snapshot_images < settings.batch)
            if is_snapshot or is_last or is_stopped or is_due:
                _require_finite(state)  # in every process: all hold the same numbers, and end together
            if group.is_first and is_snapshot:
                _snapshot(state, reference, yardstick, statistics, out, progress)
                if upkeep.keeps_snapshots:
                    _keep_average(state, out / STATE)
                if is_best(rows, upkeep.best):
                    checkpoint.save_best(out / STATE, **_as_written(state, rows))
            if is_last or is_stopped or is_due:
                if group.is_first:
                    checkpoint.save(out / STATE, **_as_written(state, rows))
                saved_at = time.monotonic()
            if is_snapshot or is_last or is_stopped or is_due:
                group.wait()  # who went on, or ended, before the first has written would not learn that it failed, or would have it stopped
            if is_last:
                break
            if is_stopped:
                by = stop.name or "a signal to another process"
                raise Interrupted(f"{out}: stopped by {by} at {state.num_images} images; the same command resumes")
            real, labels = feeder.take(state.num_images), _labels(state, crops.batch_labels(state.num_images, settings.batch))
            try:
                train_step(state, real.to(device, non_blocking=True), settings, labels)
            except Diverged:
                statistics.add({"images": state.num_images, "warning": "not_finite"})
                statistics.write()
                raise
            if state.num_images % 1000 < settings.batch:
                statistics.add({"images": state.num_images, "ada_p": state.ada_p, **state.report})
            progress.advance(settings.batch, note=f"D {state.report['loss_D']:.2f} G {state.report['loss_G']:.2f} p {state.ada_p:.2f}")
    progress.finish()


def _resume(state: TrainingState, out: Path, progress: Progress) -> list[dict[str, Any]]:
    """Loads the newest whole state, if there is one, as the first process finds it; the statistics so far."""
    group, skipped = state.group, list[str]()
    found = checkpoint.newest(out / STATE, misfit=partial(misfit, state), tell=skipped.append) if group.is_first else None
    for line in skipped:
        progress.say(f"skipped a state: {line}")
    if skipped and found is None:
        progress.say("no other state is left: the training begins anew")
    facts = group.tell(None if found is None else found.facts)
    if facts is None:
        return []
    from_tensors(state, group.tell_tensors(found.tensors if found else None), facts)
    return list(facts["rows"])


def _require_finite(state: TrainingState) -> None:
    """Lets a state pass that may be drawn with and written.

    Raises:
        Diverged: it holds a number that is not finite; to write it would push a good one out.
    """
    broken = [name for name, value in to_tensors(state)[0].items() if value.is_floating_point() and not bool(torch.isfinite(value).all())]
    if broken:
        raise Diverged(
            f"at image {state.num_images} the state is not finite ({', '.join(broken[:3])}) and is not written; the last one is kept"
        )


def _as_written(state: TrainingState, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The state as it is written."""
    tensors, facts = to_tensors(state)
    facts |= {"rows": rows, "spec": state.G.spec.to_json()}
    facts |= {} if state.conditions is None else {"conditions": state.conditions.to_json()}
    return {"step": state.num_images, "tensors": tensors, "facts": facts}


@whole_float32()
def _snapshot(
    state: TrainingState, reference: Reference, yardstick: Yardstick | None, statistics: Statistics, out: Path, progress: Progress
) -> None:
    """A grid of the averaged generator's images, how they compare with the tiles, and the statistics."""
    images = draw_fixed(state)
    row = {"images": state.num_images, **reference.compare(images)}
    if not any("variety" in known and known["images"] == state.num_images for known in statistics.rows):  # resumed at a grid
        statistics.add(row | (_quality(state, yardstick) if yardstick else {}))
    if row["variety"] < _POOR_VARIETY:
        progress.say(
            f"at {state.num_images} images the drawn colours vary {row['variety']:.0%} as much as the tiles': early on that is usual; if it "
            "has fallen, the generator is losing stains: an earlier grid may be the one to keep"
        )
    statistics.write()
    write_png(out / GRIDS / f"images-{state.num_images:09d}.png", _grid(images))


def _keep_average(state: TrainingState, folder: Path) -> None:
    """Writes the averaged generator as `load_snapshot` reads it; no state to resume from, so that none is removed or taken for one."""
    average = {f"G_average.{name}": value for name, value in state.G_average.state_dict().items()}
    checkpoint.write_tensors(folder / f"average-{state.num_images:09d}.safetensors", average, {"num_images": state.num_images})


def _quality(state: TrainingState, yardstick: Yardstick) -> dict[str, float]:
    """The averaged generator's distance from real crops, and that of other real crops."""

    def draw(z: Tensor, labels: Sequence[int] | None) -> Tensor:
        return state.G_average(z, _labels(state, labels))  # type: ignore[no-any-return]

    distance = yardstick.distance(draw, z_dim=state.G.spec.z_dim, device=state.path_mean.device)
    return {"quality": distance, "quality_floor": yardstick.floor}


def draw_fixed(state: TrainingState) -> np.ndarray:
    """36 images uint8 `[36, H, W, 3]` of at most 256 px from fixed latents, drawn in chunks so that memory stays small.

    Row i of the grid they fill has label i, counted round.
    """
    generator = torch_stream(0, "generator.grid")
    z = torch.randn(_GRID_EDGE**2, state.G.spec.z_dim, generator=generator).to(state.path_mean.device)
    num_labels, edge = state.G.spec.label_dim, state.G.spec.resolution
    shrink = max(1, edge // _GRID_IMAGE_PX)  # at 4096 px a full grid would be 600 megapixels
    at_once = _GRID_EDGE if edge <= _LARGEST_ROW_PX else 1
    rows = []
    with torch.no_grad():
        for first in range(0, len(z), at_once):
            part = z[first : first + at_once]
            images = state.G_average(part, _labels(state, [first // _GRID_EDGE % num_labels] * len(part) if num_labels else None))
            rows.append(to_uint8(F.avg_pool2d(images, shrink)))
    return np.concatenate(rows)


def _grid(images: np.ndarray) -> np.ndarray:
    """36 images as 6 rows of 6, `[H, W, 3]`."""
    rows = (np.concatenate(list(row), axis=1) for row in np.split(images, _GRID_EDGE))
    return np.concatenate(list(rows), axis=0)


def _labels(state: TrainingState, numbers: Sequence[int] | None) -> Tensor | None:
    """Label vectors `[N, L]`, where the generator takes any.

    Raises:
        BadConfig: it takes some and the tiles have none.
    """
    if not state.G.spec.label_dim:
        return None
    if numbers is None:
        raise BadConfig("generator.condition", f"the networks take {state.G.spec.label_dim} labels and the tiles have none")
    return one_hot(numbers, state.G.spec.label_dim).to(state.path_mean.device)


def _require_rgb(state: TrainingState) -> None:
    """The networks and `phases.train_step` take any number of channels; tiles, grids and all that follows are RGB.

    Raises:
        BadConfig: the networks have another number.
    """
    if state.G.spec.image_channels != 3:
        raise BadConfig("generator", f"networks of {state.G.spec.image_channels} image channels", "tiles and grids have 3")
