"""`hdgan tile RUN`."""

from __future__ import annotations

import gc
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from hdgan.cli.options import Config, Redo, Run
from hdgan.cli.stage import run_stage

NEW_CONTAINERS = 400_000
NUM_SHARDS = 8
"""Shares of a job file, unless somebody says."""

WhatIf = Annotated[
    bool, typer.Option("--what-if", help="Say how many of the tiles cut before would stay at other thresholds of background.")
]
At = Annotated[
    list[float] | None,
    typer.Option("--at", help="With --what-if: a threshold, 0 to 1; may be given several times (0.3, 0.5 and 0.7).", show_default=False),
]
Rebuild = Annotated[bool, typer.Option("--rebuild", help="Store the tiles of the finished stage again, from its index and the slides.")]
Format = Annotated[
    str | None,
    typer.Option(
        "--format", help="With --rebuild: auto, png, jxl, jpeg, raw or none; that of the settings unless given.", show_default=False
    ),
]
Strict = Annotated[
    bool, typer.Option("--strict", help="Read every tile by both readers and ask the decoder what it finds wrong (tiles.strict).")
]
Recut = Annotated[
    bool,
    typer.Option("--recut-changed-code", help="Cut anew what other source code of this version cut (tiles.recut_changed_code)."),
]
Retry = Annotated[
    bool,
    typer.Option("--retry-left-out", help="Try slides again that were left out when the others were cut (tiles.retry_left_out)."),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        "-j",
        min=0,
        help="Processes that read slides; one for each core unless given. 0: none but this one.",
        show_default=False,
    ),
]
Scheduler = Annotated[
    str | None,
    typer.Option("--scheduler", help="Cut on a Dask cluster: tcp://ADDRESS of its scheduler, or local.", show_default=False),
]
Share = Annotated[
    str | None, typer.Option("--shard", help="Cut a share of the slides, such as 3/8, and join nothing yet.", show_default=False)
]
Sbatch = Annotated[
    Path | None,
    typer.Option("--sbatch", help="Write a job file for Slurm that cuts in --shards shares and joins them.", show_default=False),
]
Shards = Annotated[int | None, typer.Option("--shards", min=1, max=999_999, help="With --sbatch: shares (8).", show_default=False)]


def tile(
    run: Run,
    config: Config = None,
    redo: Redo = False,
    what_if: WhatIf = False,
    at: At = None,
    rebuild: Rebuild = False,
    format: Format = None,
    strict: Strict = False,
    workers: Workers = None,
    scheduler: Scheduler = None,
    shard: Share = None,
    sbatch: Sbatch = None,
    shards: Shards = None,
    recut_changed_code: Recut = False,
    retry_left_out: Retry = False,
) -> None:
    """Cut the slides into tiles of one size and scale."""
    collect_rarely()
    _refuse(what_if, at, rebuild, format)
    _refuse_mixed(what_if or rebuild, shard, sbatch, shards, scheduler)
    if strict and (what_if or rebuild or sbatch is not None):
        raise typer.BadParameter("is for cutting: put strict = true into the settings instead (section tiles)", param_hint="--strict")
    if recut_changed_code and (what_if or rebuild or sbatch is not None):
        remedy = "is for cutting: put recut_changed_code = true into the settings instead (section tiles)"
        raise typer.BadParameter(remedy, param_hint="--recut-changed-code")
    if retry_left_out and (what_if or rebuild or sbatch is not None or shard is not None):
        raise typer.BadParameter("is for the whole stage: give it without the others", param_hint="--retry-left-out")
    flags = (("strict", strict or None), ("recut_changed_code", recut_changed_code or None), ("retry_left_out", retry_left_out or None))
    said = (("workers", workers), ("scheduler", scheduler), *flags)
    changes = {name: value for name, value in said if value is not None}
    if what_if:
        _tell(run, at)
    elif rebuild:
        _store_again(run, config, format)
    elif shard is not None or sbatch is not None:
        _share(run, config, shard, sbatch, shards or NUM_SHARDS, redo=redo, changes=changes)
    else:
        run_stage("tiles", run, config=config, redo=redo, changes=changes)


def collect_rarely() -> None:
    """Has Python look for cycles less often: every 700 new containers it would do so again and again while modules are imported, which are many and
    hold none. Not for verbs that train, whose cycles may hold large tensors.
    """
    first, *others = gc.get_threshold()
    gc.set_threshold(max(first, NEW_CONTAINERS) if first else 0, *others)


def _refuse_mixed(is_reading: bool, shard: str | None, sbatch: Path | None, shards: int | None, scheduler: str | None) -> None:
    if shards is not None and sbatch is None:
        raise typer.BadParameter("goes with --sbatch", param_hint="--shards")
    if sbatch is not None and (is_reading or shard is not None or scheduler is not None):
        raise typer.BadParameter("writes a file and cuts nothing: give it alone", param_hint="--sbatch")
    if shard is not None and (is_reading or scheduler is not None):
        raise typer.BadParameter("cuts a share, here: give it without --what-if, --rebuild and --scheduler", param_hint="--shard")


def _share(
    run: Path, config: Path | None, shard: str | None, sbatch: Path | None, num_shards: int, *, redo: bool, changes: Mapping[str, object]
) -> None:
    from hdgan.cli.tile_shards import cut_share, write_sbatch
    from hdgan.pipeline.run import open_run

    opened = open_run(run, config=config).changed("tiles", **changes)
    if sbatch is not None:
        write_sbatch(opened, sbatch, num_shards=num_shards, redo=redo)
    else:
        assert shard is not None, "one of both was given"
        cut_share(opened, shard, redo=redo)


def _refuse(what_if: bool, at: list[float] | None, rebuild: bool, format: str | None) -> None:
    from hdgan.errors import BadInput

    if at and not what_if:
        raise BadInput("--at", "needs --what-if", "thresholds of a run stand in its settings (`max_background`)")
    if format is not None and not rebuild:
        raise typer.BadParameter("goes with --rebuild; tiles are cut in the format of the settings (tiles.format)", param_hint="--format")
    if what_if and rebuild:
        raise typer.BadParameter("--what-if changes nothing, --rebuild does: give one of them", param_hint="--what-if")


def _tell(run: Path, at: list[float] | None) -> None:
    """Prints the table for the finished tiles of the run."""
    from hdgan.store.layout import RunFolder
    from hdgan.tiles import what_if

    thresholds = tuple(at) if at else what_if.THRESHOLDS
    rows = what_if.what_if(RunFolder(run).folder("tiles"), thresholds)
    typer.echo("tiles that stay with at most this share of background; no slide is read")
    for line in what_if.lines(rows, thresholds):
        typer.echo(line)


def _store_again(run: Path, config: Path | None, format: str | None) -> None:
    from hdgan.cli.progress import showing
    from hdgan.pipeline.run import open_run
    from hdgan.store.codec import STORES
    from hdgan.tiles.rebuild import rebuild_tiles

    form = next((known for known in STORES if known == format), None)
    if format is not None and form is None:
        raise typer.BadParameter(f"{format!r} is none of {', '.join(STORES)}", param_hint="--format")
    opened = open_run(run, config=config)
    with showing() as progress:
        rebuild_tiles(
            opened.config.tiles, out=opened.stage("tiles"), seed=opened.config.run.seed, base=opened.base, form=form, progress=progress
        )
    typer.echo(f"tiles: stored as {form or opened.config.tiles.format} ({opened.stage('tiles')})")
