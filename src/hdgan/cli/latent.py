"""`hdgan latent`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Folder = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run that was fitted, such as runs/kidney.", show_default=False)]


def latent(run: Folder) -> None:
    """Show where meaning sits in the generator: each layer alone, margins along contours, blocks that disagree."""
    from hdgan.cli.progress import showing
    from hdgan.pipeline.latent import PAGE, measure_latent
    from hdgan.pipeline.run import open_run, refuse_stale
    from hdgan.training.ranks import refuse_company

    refuse_company("latent")
    refuse_stale(run, "classifier")
    with showing() as progress:
        found = measure_latent(open_run(run), progress=progress)
    typer.echo(f"{'maps':20} {'channels':>8} {'px':>6} {'macro Dice of a linear probe':>29}")
    for row in found.report["layers"]:
        dice = "-" if row["macro_dice"] is None else f"{row['macro_dice']:.3f}"
        typer.echo(f"{row['name']:20} {row['channels']:8} {row['resolution']:6} {dice:>29}")
    typer.echo(f"written: {found.folder / PAGE}")
