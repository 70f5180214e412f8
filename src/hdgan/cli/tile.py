"""`hdgan tile RUN`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hdgan.cli.options import Config, Redo, Run
from hdgan.cli.stage import run_stage

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
    typer.Option("--format", help="With --rebuild: png, jxl, jpeg, raw or none; that of the settings unless given.", show_default=False),
]


def tile(
    run: Run,
    config: Config = None,
    redo: Redo = False,
    what_if: WhatIf = False,
    at: At = None,
    rebuild: Rebuild = False,
    format: Format = None,
) -> None:
    """Cut the slides into tiles of one size and scale."""
    _refuse(what_if, at, rebuild, format)
    if what_if:
        _tell(run, at)
    elif rebuild:
        _store_again(run, config, format)
    else:
        run_stage("tiles", run, config=config, redo=redo)


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
    from hdgan.store.codec import SUFFIXES
    from hdgan.tiles.rebuild import rebuild_tiles

    form = next((known for known in SUFFIXES if known == format), None)
    if format is not None and form is None:
        raise typer.BadParameter(f"{format!r} is none of {', '.join(SUFFIXES)}", param_hint="--format")
    opened = open_run(run, config=config)
    with showing() as progress:
        rebuild_tiles(
            opened.config.tiles, out=opened.stage("tiles"), seed=opened.config.run.seed, base=opened.base, form=form, progress=progress
        )
    typer.echo(f"tiles: stored as {form or opened.config.tiles.format} ({opened.stage('tiles')})")
