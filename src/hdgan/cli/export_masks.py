"""`hdgan export-masks`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hdgan.cli.options import Run

Folder = Annotated[Path, typer.Argument(help="Where to write; must not exist or be empty.", show_default=False)]
Sheets = Annotated[
    int,
    typer.Option(
        "--sheets",
        help="Also write pages to correct by, with this many samples each: image, outlines, colours, coordinates.",
        min=0,
        max=36,
    ),
]


def export_masks(run: Run, folder: Folder, sheets: Sheets = 0) -> None:
    """Write the masks as outlines that QuPath opens; what was drawn there comes back with import-masks."""
    from hdgan.annotations.export import export_geojson, export_sheets
    from hdgan.errors import BadInput
    from hdgan.pipeline.run import open_run

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadInput(folder, "is not empty", "choose a new folder: outlines that somebody changed are not written over")
    opened = open_run(run)
    written = export_geojson(opened.stage("annotations"), out=folder)
    typer.echo(f"{len(written)} files of outlines, each named like its image: {folder}")
    if sheets:
        pages = export_sheets(opened.stage("annotations"), samples=opened.stage("samples"), out=folder / "sheets", per_page=sheets)
        typer.echo(f"{len(pages)} pages to correct by: {folder / 'sheets'}")
