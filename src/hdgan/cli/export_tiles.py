"""`hdgan export-tiles`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from hdgan.cli.options import Run


class TileFormat(StrEnum):
    """What can be written."""

    STYLEGAN = "stylegan"


class Labels(StrEnum):
    """Columns of the tile index that can become labels."""

    NONE = "none"
    STAIN = "stain"
    CENTRE = "centre"
    PATIENT = "patient"


Out = Annotated[Path, typer.Option("--out", "-o", help="The ZIP to write; must not exist.", show_default=False)]
Size = Annotated[int, typer.Option("--size", help="Edge of the images, px; a power of two.", show_default=False)]
Kind = Annotated[TileFormat, typer.Option("--format", help="A ZIP of PNGs with dataset.json, as StyleGAN's tools make it.")]
Folds = Annotated[str | None, typer.Option("--folds", help="Folds to write, such as 0,1,2,3; all unless given.", show_default=False)]
Label = Annotated[Labels, typer.Option("--labels", help="Column of the tile index whose values become labels.")]
Native = Annotated[bool, typer.Option("--native", help="Cut tiles into squares at their own scale instead of shrinking them.")]


def export_tiles(
    run: Run,
    out: Out,
    size: Size,
    format: Kind = TileFormat.STYLEGAN,
    folds: Folds = None,
    labels: Label = Labels.NONE,
    native: Native = False,
) -> None:
    """Write the tiles as a training set for other programs."""
    from hdgan.cli.progress import showing
    from hdgan.errors import BadInput
    from hdgan.pipeline.run import open_run, refuse_stale
    from hdgan.tiles.export import export_stylegan

    assert format is TileFormat.STYLEGAN, "the only one"
    if out.exists():
        raise BadInput(out, "exists", "choose another name: nothing is written over")
    try:
        chosen = None if folds is None else {int(fold) for fold in folds.split(",")}
    except ValueError as error:
        raise typer.BadParameter(f"{folds!r} is no list such as 0,1,2,3", param_hint="--folds") from error
    refuse_stale(run, "tiles")
    opened = open_run(run)
    with showing() as progress:
        num = export_stylegan(
            opened.open_tiles(),
            out,
            size_px=size,
            tile_px=opened.config.tiles.tile_px,
            folds=chosen,
            label=labels.value,
            is_native=native,
            progress=progress,
        )
    typer.echo(f"{num:,} images of {size} px: {out}")
