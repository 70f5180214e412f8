"""The generator stage: tiles in, `2-generator/` out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from hdgan.errors import BadConfig
from hdgan.generator import transfer
from hdgan.generator.conditions import of_tiles
from hdgan.generator.config import GeneratorConfig
from hdgan.generator.crops import Crops
from hdgan.generator.freeze import set_trainable
from hdgan.generator.settings import TrainSettings
from hdgan.generator.state import TrainingState, new_state
from hdgan.generator.train import STATE, Upkeep, train
from hdgan.generator.weights import FILE, save_generator
from hdgan.progress import SILENT, Progress
from hdgan.store.archive import TileArchive
from hdgan.store.hashing import hash_file
from hdgan.store.stage import Manifest, manifest_hash, open_stage
from hdgan.training import checkpoint
from hdgan.training.memory import keep_freed_memory


def run_generator(
    config: GeneratorConfig, *, tiles: Path, out: Path, seed: int, redo: bool = False, progress: Progress = SILENT
) -> Manifest:
    """Trains a generator on the tile archive in `tiles` and writes its averaged weights to `out`.

    With `redo`, a run of which only the length was raised goes on from its last state.

    Raises:
        BadConfig: a setting is impossible, or no tile is left.
        BadInput: there are no weights where `init_from` says.
        Interrupted, Diverged: see `train`.
    """
    spec, settings = config.network_spec(), config.train_settings(seed=seed)
    recorded = config.recorded()
    goes_on = {"config.kimg": STATE} if _images_so_far(out) <= settings.kimg * 1000 else {}
    begun_with = None if config.init_from is None else transfer.find(config.init_from)
    inputs = {"tiles": manifest_hash(tiles)} | ({} if begun_with is None else {"init_from": hash_file(begun_with)})
    with open_stage(out, stage="generator", config=recorded, seed=seed, inputs=inputs, redo=redo, goes_on=goes_on) as stage:
        if stage.manifest is not None:
            return stage.manifest
        archive = TileArchive(tiles)
        chosen = [i for i, row in enumerate(archive.rows) if row.fold != config.held_out_fold]
        conditions, labels = None, None
        if config.condition != "none":
            conditions, labels = of_tiles(archive.rows, by=config.condition, chosen=chosen)
            spec = config.network_spec(label_dim=len(conditions.names))
        crops = _crops(config, archive, chosen=chosen, labels=labels, seed=seed)
        keep_freed_memory()
        state = new_state(spec, settings, device=_device(config.device))
        if begun_with is not None:  # also before resuming, which replaces the weights: the report is then written again, the same
            _transfer(state, begun_with, settings, out=out, mpp=archive.mpp, progress=progress)
        upkeep = Upkeep(snapshot_images=int(config.snapshot_kimg * 1000), save_seconds=config.save_minutes * 60)
        train(state, crops, settings, out=out, upkeep=upkeep, progress=progress)
        trained: dict[str, Any] = {
            "images": state.num_images,
            "tiles": len(chosen),
            "tiles_manifest": manifest_hash(tiles),
            "ada_p": state.ada_p,
        }
        if begun_with is not None:
            trained["init_from"] = inputs["init_from"]
        if conditions is not None:
            trained["conditions"] = conditions.to_json()
        is_half = config.weights == "float16"
        save_generator(out / FILE, state.G_average, mpp=archive.mpp, trained=trained, is_half=is_half)
        counts = {"images": state.num_images, "tiles": len(chosen), "parameters": sum(p.numel() for p in state.G.parameters())}
        return stage.seal(counts=counts, keep_out=(STATE,))


def _crops(config: GeneratorConfig, archive: TileArchive, *, chosen: Sequence[int], labels: Sequence[int] | None, seed: int) -> Crops:
    return Crops(
        archive,
        chosen=chosen,
        size_px=config.resolution,
        seed=seed,
        is_turned=config.is_turned,
        flips=config.flips,
        is_quarter_turned=config.is_quarter_turned,
        labels=labels,
    )


def _transfer(state: TrainingState, begun_with: Path, settings: TrainSettings, *, out: Path, mpp: float | None, progress: Progress) -> None:
    """Puts the weights of the file `begun_with` into `state` and says what was taken."""
    set_trainable(state.D, num_frozen=settings.freeze_d)  # too many layers are refused now, not at the first step
    taken = transfer.begin_with(state, transfer.read(begun_with))
    transfer.write_report(out, taken)
    for line in taken.lines(spec=state.G.spec, mpp=mpp):
        progress.say(line)


def _images_so_far(out: Path) -> int:
    """Images that the newest state in `out` has seen."""
    return checkpoint.last_step(out / STATE)


def _device(name: str) -> str:
    """`auto` is a GPU where there is one.

    Raises:
        BadConfig: a GPU was asked for and there is none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise BadConfig("generator.device", "cuda was asked for and there is none", "use auto or cpu")
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return name
