"""The generator stage: tiles in, `2-generator/` out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from hdgan.errors import BadConfig, BadInput
from hdgan.generator import transfer
from hdgan.generator.conditions import Conditions, of_tiles
from hdgan.generator.config import GeneratorConfig
from hdgan.generator.crops import Crops
from hdgan.generator.freeze import set_trainable
from hdgan.generator.settings import TrainSettings
from hdgan.generator.spec import NetworkSpec
from hdgan.generator.state import TrainingState, new_state
from hdgan.generator.statistics import EVENTS
from hdgan.generator.train import STATE, Upkeep, train
from hdgan.generator.weights import FILE, save_generator
from hdgan.progress import SILENT, Progress
from hdgan.store.archive import TileArchive
from hdgan.store.hashing import hash_file
from hdgan.store.stage import KEEP, Manifest, manifest_hash, open_stage, read_manifest, stage_changes
from hdgan.training import checkpoint
from hdgan.training.devices import chosen_device
from hdgan.training.distributed import Group, joined
from hdgan.training.memory import keep_freed_memory
from hdgan.training.signals import StopRequest

_READERS = 8
"""Threads that decode and turn crops for a GPU."""


def run_generator(
    config: GeneratorConfig,
    *,
    tiles: Path,
    out: Path,
    seed: int,
    redo: bool = False,
    progress: Progress = SILENT,
    open_tiles: Callable[[Path], TileArchive] = TileArchive,
) -> Manifest:
    """Trains a generator on the tile archive in `tiles`, opened by `open_tiles`, and writes its averaged weights to `out`.

    With `redo`, a run of which only the length was raised goes on from its last state; by further cycles, to what one run would have given. Where it begins
    anew, the last state of the training before stays in `keep/state/`: that of the most images, one alone.

    Started by torchrun as several processes, they train together: the first one owns the folder, the others only read the tiles.

    Raises:
        BadConfig: a setting is impossible, or no tile is left.
        BadInput: there are no weights where `init_from` says.
        Interrupted, LostProcess, Diverged: see `train`.
    """
    device = chosen_device(config.device, setting="generator.device")
    with joined(device) as group, StopRequest() as stop:  # a signal is only noted from here on, to the sealed stage or the saved state
        work = partial(_work, config, tiles=tiles, open_tiles=open_tiles, out=out, seed=seed, group=group, device=device, stop=stop)
        if group.is_first:
            return _lead(config, work, tiles=tiles, open_tiles=open_tiles, out=out, seed=seed, redo=redo, progress=progress, group=group)
        finished = group.tell()
        if finished is None:
            work(progress=SILENT)
            finished = group.tell()
        return Manifest(**finished)


def _lead(
    config: GeneratorConfig,
    work: Callable[..., _Worked],
    *,
    tiles: Path,
    open_tiles: Callable[[Path], TileArchive],
    out: Path,
    seed: int,
    redo: bool,
    progress: Progress,
    group: Group,
) -> Manifest:
    """The manifest of the folder, which the first process opens, fills by `work` and seals."""
    settings = config.train_settings(seed=seed)
    recorded = config.recorded()
    _refuse_imported(out)
    goes_on = {"config.kimg": STATE} if _images_so_far(out) <= settings.kimg * 1000 else {}
    begun_with = None if config.init_from is None else transfer.find(config.init_from)
    if begun_with is not None and _is_ours_to_clear(begun_with, out):
        raise BadConfig("generator.init_from", f"{begun_with} is where this training writes", "copy it elsewhere, or train in another run")
    inputs = {"tiles": manifest_hash(tiles)} | ({} if begun_with is None else {"init_from": hash_file(begun_with)})
    begun: dict[str, Any] = {"config": recorded, "seed": seed, "inputs": inputs}

    def before_clearing() -> None:
        _refuse_impossible(config, settings, open_tiles=partial(open_tiles, tiles))
        if not _states_stay(out, begun, is_longer=bool(goes_on)):
            _set_aside(out, progress)

    with open_stage(
        out, stage="generator", **begun, redo=redo, goes_on=goes_on, mends_from=STATE, before_clearing=before_clearing
    ) as stage:
        if stage.manifest is None:
            group.tell(None)
            worked = work(progress=progress)
            trained = worked.facts() | {"tiles_manifest": inputs["tiles"]}
            trained |= {} if begun_with is None else {"init_from": inputs["init_from"]}
            save_generator(out / FILE, worked.state.G_average, mpp=worked.mpp, trained=trained, is_half=config.weights == "float16")
            counts = {"images": worked.state.num_images, "tiles": worked.num_tiles, "parameters": worked.num_parameters}
            stage.seal(counts=counts, keep_out=(STATE, EVENTS))
        assert stage.manifest is not None, "sealed or current"
        group.tell(asdict(stage.manifest))
        return stage.manifest


def _refuse_imported(out: Path) -> None:
    """Leaves weights alone that no training made and none could make again."""
    if "source_sha256" in _counts(out):
        remedy = "train in another run, with generator.init_from naming this folder"
        raise BadInput(out, "holds imported weights, which a training would replace", remedy)


def _counts(out: Path) -> dict[str, Any]:
    """Those of a finished stage whose manifest can be read."""
    with suppress(BadInput):
        return read_manifest(out).counts
    return {}


@dataclass(frozen=True)
class _Worked:
    """A training that reached its end."""

    state: TrainingState
    num_tiles: int
    mpp: float | None
    conditions: Conditions | None

    def facts(self) -> dict[str, Any]:
        """What the weights' file says of it."""
        facts: dict[str, Any] = {"images": self.state.num_images, "tiles": self.num_tiles, "ada_p": self.state.ada_p}
        return facts if self.conditions is None else facts | {"conditions": self.conditions.to_json()}

    @property
    def num_parameters(self) -> int:
        return sum(p.numel() for p in self.state.G.parameters())


def _work(
    config: GeneratorConfig,
    *,
    tiles: Path,
    open_tiles: Callable[[Path], TileArchive],
    out: Path,
    seed: int,
    progress: Progress,
    group: Group,
    device: str,
    stop: StopRequest,
) -> _Worked:
    """The part that every process does."""
    settings, archive = config.train_settings(seed=seed), open_tiles(tiles)
    chosen, conditions, labels, spec = _chosen(config, archive)
    # A GPU waits for what one thread decodes and turns; on a CPU the step itself would lose what more threads took.
    crops = _crops(config, archive, chosen=chosen, labels=labels, seed=seed, num_threads=_READERS if device.startswith("cuda") else 1)
    keep_freed_memory()
    state = new_state(spec, settings, device=device)
    state.group, state.conditions = group, conditions
    if config.init_from is not None:  # also before resuming, which replaces the weights: the report is then written again, the same
        _transfer(state, transfer.find(config.init_from), settings, out=out, mpp=archive.mpp, progress=progress)
    upkeep = Upkeep(
        snapshot_images=int(config.snapshot_kimg * 1000),
        save_seconds=config.save_minutes * 60,
        quality_images=config.quality_images,
        keeps_snapshots=config.keep_snapshots,
    )
    train(state, crops, settings, out=out, upkeep=upkeep, progress=progress, stop=stop)
    return _Worked(state, len(chosen), archive.mpp, conditions)


def _chosen(config: GeneratorConfig, archive: TileArchive) -> tuple[list[int], Conditions | None, list[int] | None, NetworkSpec]:
    """The tiles to train on, what their labels mean, the label of every tile, and the network that takes them."""
    folds, held = {row.fold for row in archive.rows}, config.held_out_fold
    if held is not None and held not in folds:  # all tiles would be trained on, and what is measured on held-out ones would be of none
        raise BadConfig(
            "generator.held_out_fold", f"no tile is in fold {held}", f"choose one of {', '.join(map(str, sorted(folds)))}, or leave it out"
        )
    chosen = [i for i, row in enumerate(archive.rows) if row.fold != held]
    if config.condition == "none":
        return chosen, None, None, config.network_spec()
    conditions, labels = of_tiles(archive.rows, by=config.condition, chosen=chosen)
    return chosen, conditions, labels, config.network_spec(label_dim=len(conditions.names))


def _refuse_impossible(config: GeneratorConfig, settings: TrainSettings, *, open_tiles: Callable[[], TileArchive]) -> None:
    """Finds what no training could begin with, without beginning one: an earlier training is only cleared for one that can."""
    archive = open_tiles()
    chosen, conditions, labels, spec = _chosen(config, archive)
    _crops(config, archive, chosen=chosen, labels=labels, seed=settings.seed, num_threads=1)
    if config.init_from is not None:
        state = new_state(spec, settings, device="cpu")
        state.conditions = conditions
        _taken(state, transfer.find(config.init_from), settings)


def _crops(
    config: GeneratorConfig, archive: TileArchive, *, chosen: Sequence[int], labels: Sequence[int] | None, seed: int, num_threads: int
) -> Crops:
    return Crops(
        archive,
        chosen=chosen,
        size_px=config.resolution,
        seed=seed,
        is_turned=config.is_turned,
        flips=config.flips,
        is_quarter_turned=config.is_quarter_turned,
        labels=labels,
        num_threads=num_threads,
    )


def _transfer(state: TrainingState, begun_with: Path, settings: TrainSettings, *, out: Path, mpp: float | None, progress: Progress) -> None:
    """Puts the weights of the file `begun_with` into `state` and says what was taken."""
    taken = _taken(state, begun_with, settings)
    if state.group.is_first:
        transfer.write_report(out, taken)
    for line in taken.lines(spec=state.G.spec, mpp=mpp):
        progress.say(line)


def _taken(state: TrainingState, begun_with: Path, settings: TrainSettings) -> transfer.Transfer:
    set_trainable(state.D, num_frozen=settings.freeze_d)  # too many layers are refused now, not at the first step
    return transfer.begin_with(state, transfer.read(begun_with))


def _is_ours_to_clear(path: Path, out: Path) -> bool:
    path, out = path.resolve(), out.resolve()
    return path.is_relative_to(out) and not path.is_relative_to(out / KEEP)


def _states_stay(out: Path, begun: dict[str, Any], *, is_longer: bool) -> bool:
    """Whether the training in `out` will go on, or make its weights again, from its last state."""
    try:
        changes = stage_changes(out, stage="generator", **begun)
    except BadInput:
        return False
    return changes == () or (is_longer and changes == ("config.kimg",))


def _set_aside(out: Path, progress: Progress) -> None:
    """Keeps the newest state of a training that is cleared away for one with other settings: it may have taken days, and the new setting may be a slip."""
    kept = checkpoint.set_aside(out / STATE, out / KEEP / STATE)
    if kept is not None:
        num_images = checkpoint.last_step(kept.parent)
        progress.say(
            f"begins anew with other settings; the state of the training before, of {num_images} images, is kept for init_from: {kept}"
        )


def _images_so_far(out: Path) -> int:
    """Images that the newest state in `out` has seen."""
    return checkpoint.last_step(out / STATE)
