"""`hdgan paint`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Folder = Annotated[Path, typer.Argument(help="Where to paint; must not exist or be empty.", show_default=False)]
Patients = Annotated[int, typer.Option(help="Patients, one slide each.", min=1)]
Size = Annotated[int, typer.Option(help="Edge of a slide, px.", min=256)]
Mpp = Annotated[float, typer.Option(help="Scale, um/px.", min=0.1)]
Seed = Annotated[int, typer.Option(help="Another seed, other slides.", min=0)]


def paint(folder: Folder, patients: Patients = 4, size: Size = 2048, mpp: Mpp = 0.5, seed: Seed = 0) -> None:
    """Paint kidney-like slides with exact masks, to try everything without data."""
    from hdgan.cli.progress import showing
    from hdgan.errors import BadInput
    from hdgan.testing.cohort import paint_cohort

    if folder.exists() and any(folder.iterdir()):
        raise BadInput(folder, "is not empty", "choose a new folder")
    with showing() as progress:
        slides = paint_cohort(folder, num_patients=patients, size_px=size, mpp=mpp, seed=seed, progress=progress)
    typer.echo(f"{len(slides)} slides with masks in {folder}; cut them with a [tiles] section whose slides are {folder / 'slides.csv'}")
