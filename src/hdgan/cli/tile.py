"""`hdgan tile`."""

from __future__ import annotations

from typing import Annotated

import typer

from hdgan.cli.options import Config, Redo, Run
from hdgan.cli.stage import run_stage

Rebuild = Annotated[bool, typer.Option("--rebuild", help="Store the tiles of the finished stage again, from its index and the slides.")]
Format = Annotated[
    str | None,
    typer.Option("--format", help="With --rebuild: png, jxl, jpeg, raw or none; that of the settings unless given.", show_default=False),
]


def tile(run: Run, config: Config = None, redo: Redo = False, rebuild: Rebuild = False, format: Format = None) -> None:
    """Cut the slides into tiles of one size and scale."""
    if not rebuild:
        if format is not None:
            raise typer.BadParameter(
                "goes with --rebuild; tiles are cut in the format of the settings (tiles.format)", param_hint="--format"
            )
        run_stage("tiles", run, config=config, redo=redo)
        return
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
