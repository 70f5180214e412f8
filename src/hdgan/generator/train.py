"""The training loop: one page, maintenance first, the step last (arXiv 2312.02696's code is the model).

The same command resumes, bit for bit on one machine: every draw is a function of the images seen. A signal is honoured
at the next step boundary.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from hdgan.errors import BadConfig, Interrupted
from hdgan.generator.conditions import one_hot
from hdgan.generator.crops import Crops
from hdgan.generator.phases import train_step
from hdgan.generator.protocol import to_uint8
from hdgan.generator.settings import TrainSettings
from hdgan.generator.state import TrainingState, from_tensors, to_tensors
from hdgan.measures.patches import stain_spread
from hdgan.progress import Progress
from hdgan.store.atomic import write_png, write_text
from hdgan.training import checkpoint
from hdgan.training.seeds import torch_stream
from hdgan.training.signals import StopRequest

STATE = "state"
GRIDS = "grids"
STATS = "stats.jsonl"
_GRID_EDGE = 6
_GRID_IMAGE_PX = 256
_REFERENCE_CROPS = 10**12
"""Number of the first crop that samples are compared with; no training gets there."""
_POOR_VARIETY = 0.5


@dataclass(frozen=True)
class Upkeep:
    """How often the loop reports and saves; none of it changes a result."""

    snapshot_images: int
    save_seconds: float


def train(state: TrainingState, crops: Crops, settings: TrainSettings, *, out: Path, upkeep: Upkeep, progress: Progress) -> None:
    """Trains until `settings.kimg`, resuming from the newest whole state below `out`.

    Raises:
        Interrupted: a signal asked to stop; the state is saved.
        Diverged: a gradient was not finite; the last state is kept.
    """
    _require_rgb(state)
    rows = _resume(state, out, progress)
    last = int(settings.kimg * 1000)
    saved_at = time.monotonic()
    progress.start("training the generator", total=last, done=state.num_images)
    with ThreadPoolExecutor(1) as ahead, StopRequest() as stop:
        pending = ahead.submit(crops.batch, state.num_images, settings.batch)
        while True:
            is_last = state.num_images >= last
            if state.num_images and (is_last or state.num_images % upkeep.snapshot_images < settings.batch):
                _snapshot(state, crops, rows, out, progress)
            if is_last or stop or time.monotonic() - saved_at > upkeep.save_seconds:
                _save(state, rows, out)
                saved_at = time.monotonic()
            if is_last:
                break
            if stop:
                raise Interrupted(f"{out}: stopped by {stop.name} at {state.num_images} images; the same command resumes")
            real, labels = pending.result(), _labels(state, crops.batch_labels(state.num_images, settings.batch))
            pending = ahead.submit(crops.batch, state.num_images + settings.batch, settings.batch)
            train_step(state, _to_float(real, state.path_mean.device), settings, labels)
            if state.num_images % 1000 < settings.batch:
                rows.append({"images": state.num_images, "ada_p": state.ada_p, **state.report})
            progress.advance(settings.batch, note=f"D {state.report['loss_D']:.2f} G {state.report['loss_G']:.2f} p {state.ada_p:.2f}")
    progress.finish()


def _resume(state: TrainingState, out: Path, progress: Progress) -> list[dict[str, float]]:
    """Loads the newest whole state, if there is one; the statistics so far."""
    found = checkpoint.newest(out / STATE)
    if found is None:
        return []
    for line in found.skipped:
        progress.say(f"skipped a damaged state: {line}")
    from_tensors(state, found.tensors, found.facts)
    return list(found.facts["rows"])


def _save(state: TrainingState, rows: list[dict[str, float]], out: Path) -> None:
    tensors, facts = to_tensors(state)
    checkpoint.save(out / STATE, step=state.num_images, tensors=tensors, facts=facts | {"rows": rows, "spec": state.G.spec.to_json()})


def _snapshot(state: TrainingState, crops: Crops, rows: list[dict[str, Any]], out: Path, progress: Progress) -> None:
    """A grid of the averaged generator's images, how varied their colours are, and the statistics."""
    images = draw_fixed(state)
    variety = stain_spread(images.transpose(0, 3, 1, 2)) / max(_tile_spread(crops, len(images)), 1e-6)
    if not rows or rows[-1].keys() != {"images", "variety"} or rows[-1]["images"] != state.num_images:  # resumed at a grid
        rows.append({"images": state.num_images, "variety": variety})
    if variety < _POOR_VARIETY:
        progress.say(
            f"at {state.num_images} images the drawn colours vary {variety:.0%} as much as the tiles': early on that is usual; if it has fallen, "
            "the generator is losing stains: an earlier grid may be the one to keep"
        )
    write_text(out / STATS, "".join(json.dumps(row, sort_keys=True) + "\n" for row in rows))
    write_png(out / GRIDS / f"images-{state.num_images:09d}.png", _grid(images))


def _tile_spread(crops: Crops, num: int) -> float:
    """The spread of mean colours of `num` crops, one held at a time: at 4096 px 36 of them are 1.8 GB."""
    means = [crops.crop(_REFERENCE_CROPS + i).mean(axis=(0, 1)) for i in range(num)]
    return stain_spread(np.stack(means)[:, :, None, None])


def draw_fixed(state: TrainingState) -> np.ndarray:
    """36 images uint8 `[36, H, W, 3]` of at most 256 px from fixed latents, drawn in chunks so that memory stays small.

    Row i of the grid they fill has label i, counted round.
    """
    generator = torch_stream(0, "generator.grid")
    z = torch.randn(_GRID_EDGE**2, state.G.spec.z_dim, generator=generator).to(state.path_mean.device)
    rows = []
    with torch.no_grad():
        for row, part in enumerate(torch.split(z, _GRID_EDGE)):
            num_labels = state.G.spec.label_dim
            images = state.G_average(part, _labels(state, [row % num_labels] * len(part) if num_labels else None))
            shrink = max(1, images.shape[-1] // _GRID_IMAGE_PX)  # at 4096 px a full grid would be 600 megapixels
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


def _to_float(real: np.ndarray, device: torch.device) -> Tensor:
    """Images in -1 to 1, in the memory order that convolutions are fastest with."""
    images = torch.from_numpy(real).to(device, non_blocking=True)
    return images.float().div(127.5).sub(1.0).contiguous(memory_format=torch.channels_last)
