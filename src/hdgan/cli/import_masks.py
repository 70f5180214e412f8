"""`hdgan import-masks`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hdgan.cli.options import Config, Corrections, Redo, Run

if TYPE_CHECKING:
    from hdgan.pipeline.config import RunConfig

Masks = Annotated[
    Path | None,
    typer.Argument(
        help="Folder of masks (PNG) or QuPath outlines (GeoJSON), each named like its sample; without it, that of the settings."
    ),
]


def import_masks(run: Run, masks: Masks = None, config: Config = None, corrections: Corrections = None, redo: Redo = False) -> None:
    """Check drawn masks against their samples, keep them, and split them."""
    from hdgan.cli.progress import showing
    from hdgan.pipeline.run import open_run, run_one

    opened = open_run(run, config=config)
    if masks is not None:
        _refuse_oracle(run, opened.config)
        opened = opened.with_masks(masks)
    if corrections is not None:
        opened = opened.with_corrections(corrections)
    with showing() as progress:
        outcome = run_one(opened, "annotations", redo=redo, progress=progress)
    counts = ", ".join(f"{key} {value}" for key, value in sorted(outcome.manifest.counts.items()))
    typer.echo(f"annotations: {'current' if outcome.was_current else 'imported'} ({counts}) in {outcome.folder}")


def _refuse_oracle(run: Path, config: RunConfig) -> None:
    """Lets nobody hand in masks that the next `--redo` of the run would replace by those of an oracle.

    Raises:
        BadConfig: the settings have an oracle that draws the masks.
    """
    from hdgan.errors import BadConfig

    if config.oracle is not None:
        remedy = "correct its masks with --corrections, or take [oracle] out of the settings and give them with --config"
        raise BadConfig(run, f"its masks are drawn by {config.oracle.name!r} of the settings, which would replace yours", remedy)
