"""`hdgan suggest`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Folder = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run that was fitted, such as runs/kidney.", show_default=False)]
Num = Annotated[int, typer.Option("--num", help="Images to suggest.", min=1, max=1000)]


def suggest(run: Folder, num: Num = 12) -> None:
    """Say which images to annotate next: those of scarce classes, the least certain first. They will only train."""
    from hdgan.cli.progress import showing
    from hdgan.pipeline.run import open_run, refuse_stale
    from hdgan.pipeline.suggest import OUTLINES
    from hdgan.pipeline.suggest import suggest as work
    from hdgan.training.ranks import refuse_company

    refuse_company("suggest")
    refuse_stale(run, "classifier")
    with showing() as progress:
        found = work(open_run(run), num=num, progress=progress)
    names = found.classes.names
    shown = ", ".join(f"{name} {count}" for name, count in zip(names, found.shown_by, strict=True))
    typer.echo(f"annotated images that show a class: {shown}")
    typer.echo(f"{'image':10} {'for':30} {'uncertainty, nats':>17}")
    for one in found.chosen:
        typer.echo(f"{one.candidate.name:10} {names[one.class_index]:30} {one.candidate.uncertainty:17.3f}")
    typer.echo(f"written: {found.folder}; begin with its pages, or correct {found.folder / OUTLINES} in QuPath")
