"""`hdgan train`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hdgan.cli.options import Config, Redo, Run
from hdgan.cli.stage import run_stage

if TYPE_CHECKING:
    from hdgan.generator.config import GeneratorConfig

PlanOnly = Annotated[
    bool, typer.Option("--plan", help="Take a few steps on random images, print memory, time and disk on this machine, and write nothing.")
]


def train(run: Run, config: Config = None, plan: PlanOnly = False, redo: Redo = False) -> None:
    """Train the generator on the tiles; the same command resumes."""
    if plan:
        for line in _measured(run, config):
            typer.echo(line)
        return
    run_stage("generator", run, config=config, redo=redo)


def _measured(root: Path, config: Path | None) -> Iterator[str]:
    from hdgan.pipeline.config import RunConfig
    from hdgan.pipeline.run import SETTINGS
    from hdgan.pipeline.settings_file import read_settings
    from hdgan.store.archive import INDEX
    from hdgan.store.layout import RunFolder
    from hdgan.training.ranks import refuse_company

    refuse_company("train --plan")
    settings = read_settings(config or root / SETTINGS, RunConfig, lenient=True)
    yield from _lines(settings.generator, seed=settings.run.seed, index=RunFolder(root).folder("tiles") / INDEX)


def _lines(config: GeneratorConfig, *, seed: int, index: Path) -> Iterator[str]:
    from hdgan.cli.plan import duration, size
    from hdgan.generator.trial import try_training
    from hdgan.training.devices import chosen_device
    from hdgan.training.memory import keep_freed_memory

    num_labels, is_known = config.num_labels(index)
    spec, settings = config.network_spec(label_dim=num_labels), config.train_settings(seed=seed)
    keep_freed_memory()
    trial = try_training(
        spec, settings, device=chosen_device(config.device, setting="generator.device"), is_half=config.weights == "float16"
    )
    passes = f" in passes of {settings.microbatch}" if (settings.microbatch or settings.batch) < settings.batch else ""
    num_grids = max(1, round(settings.kimg / config.snapshot_kimg))
    grids = num_grids * (6 * min(spec.resolution, 256)) ** 2 * spec.image_channels
    where = "in this process" if trial.device == "cpu" else "on the GPU"
    labels = f", {num_labels} labels{' (the tiles, which would tell, are not there)' if not is_known else ''}" if num_labels else ""
    yield f"{spec.resolution} px, {settings.batch} images a step{passes}{labels}, measured on random images on {trial.device}"
    yield f"  memory  {size(trial.memory_bytes)} at most {where}"
    adds = f"R1 adds {trial.r1_seconds:.2g} s, path length {trial.path_seconds:.2g} s"
    yield f"  time    {trial.seconds_per_kimg:.3g} s per thousand images ({trial.plain_seconds:.2g} s for {trial.batch} images; {adds})"
    yield f"          {duration(trial.seconds_per_kimg * settings.kimg)} for {settings.kimg:g} thousand"
    total = trial.states_bytes + trial.weights_bytes + grids
    yield f"  disk    {size(trial.states_bytes)} for states (the newest three and the best), {size(trial.weights_bytes)} for the weights,"
    yield f"          at most {size(grids)} for {num_grids} grids: {size(total)}"
