"""`hdgan demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Out = Annotated[Path, typer.Option("--out", "-o", help="Folder of the demo run.")]


def demo(out: Out = Path("demo")) -> None:
    """Do the main job on what ships: features, classifier, report, 100 labelled pairs; some minutes on a laptop."""
    import time

    from hdgan.annotations.reader import MASKS
    from hdgan.cli.progress import showing, span
    from hdgan.pipeline.run import open_run, run_all
    from hdgan.pipeline.shipped import copy_settings, shipped_folder, unpack

    begun = time.monotonic()
    shipped = shipped_folder()
    run = open_run(out, config=copy_settings(shipped, out)).with_masks(shipped / MASKS)
    with showing() as progress:
        unpack(shipped, run, progress=progress)
        outcomes = run_all(run, first="features", redo=True, progress=progress)
    for outcome in outcomes:
        typer.echo(f"{outcome.stage:12} {'current' if outcome.was_current else span(outcome.seconds):>10}  {outcome.folder}")
    typer.echo(f"\nDone in {span(time.monotonic() - begun)}. Look at:")
    typer.echo(f"  {run.stage('evaluation') / 'report.html'}   how well the labels fit, beside three other methods")
    typer.echo(f"  {run.stage('evaluation') / 'panels.png'}   image, prediction, annotation, errors, uncertainty")
    typer.echo(f"  {run.stage('samples') / 'contact_sheet.png'}   what the generator draws")
    typer.echo(f"  {run.stage('dataset') / 'preview.png'}   labelled pairs, as many as you like")
