"""`hdgan export-masks`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hdgan.cli.options import Run

Folder = Annotated[Path, typer.Argument(help="Where to write; must not exist or be empty.", show_default=False)]


def export_masks(run: Run, folder: Folder) -> None:
    """Write the masks as outlines that QuPath opens; what was drawn there comes back with import-masks."""
    from hdgan.annotations.stage import export_geojson
    from hdgan.errors import BadInput
    from hdgan.pipeline.run import open_run

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadInput(folder, "is not empty", "choose a new folder: outlines that somebody changed are not written over")
    written = export_geojson(open_run(run).stage("annotations"), out=folder)
    typer.echo(f"{len(written)} files of outlines, each named like its image: {folder}")
