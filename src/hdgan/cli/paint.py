"""`hdgan paint`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Folder = Annotated[Path, typer.Argument(help="Where to paint; must not exist or be empty.", show_default=False)]
Patients = Annotated[int, typer.Option(help="Patients, one slide each.", min=1)]
Size = Annotated[int, typer.Option(help="Edge of a slide, px.", min=64)]
Mpp = Annotated[float, typer.Option(help="Scale of the slides, um/px.", min=0.1)]
TilePx = Annotated[int, typer.Option(help="Edge of the painted pairs, px; 0: no pairs.", min=0)]
TileMpp = Annotated[float, typer.Option(help="Scale of the painted pairs, um/px.", min=0.1)]
Stains = Annotated[str, typer.Option(help="Stains, separated by commas: he, pas, jones, trichrome.")]
Scale = Annotated[float, typer.Option(help="Size of the structures; 1: as in a kidney.", min=0.1)]
Density = Annotated[float, typer.Option(help="How many glomeruli and vessels; 1: as in a kidney.", min=0.1)]
Seed = Annotated[int, typer.Option(help="Another seed, other slides.", min=0)]


def paint(
    folder: Folder,
    patients: Patients = 4,
    size: Size = 2048,
    mpp: Mpp = 0.5,
    tile_px: TilePx = 64,
    tile_mpp: TileMpp = 4.0,
    stains: Stains = "he,pas,jones,trichrome",
    scale: Scale = 1.0,
    density: Density = 1.0,
    seed: Seed = 0,
) -> None:
    """Paint kidney-like slides with exact masks, to try everything without data (recipes/painted_small.toml)."""
    from hdgan.cli.progress import showing
    from hdgan.errors import BadInput
    from hdgan.testing.cohort import paint_cohort
    from hdgan.testing.sets import paint_sets

    if folder.exists() and any(folder.iterdir()):
        raise BadInput(folder, "is not empty", "choose a new folder")
    names = tuple(name.strip() for name in stains.split(",") if name.strip())
    with showing() as progress:
        slides = paint_cohort(
            folder, num_patients=patients, size_px=size, mpp=mpp, stains=names, scale=scale, density=density, seed=seed, progress=progress
        )
        if tile_px:
            paint_sets(
                folder / "pairs", size_px=tile_px, mpp=tile_mpp, stains=names, scale=scale, density=density, seed=seed, progress=progress
            )
    typer.echo(f"{len(slides)} slides with exact masks: {folder / 'slides.csv'}")
    if tile_px:
        typer.echo(f"labelled pairs of {tile_px} px at {tile_mpp:g} um/px: {folder / 'pairs'}")
