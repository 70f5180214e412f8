"""`hdgan compare-masks`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hdgan.cli.options import Run

Masks = Annotated[
    Path,
    typer.Argument(
        help="Folder of the second annotator's masks (PNG) or QuPath outlines (GeoJSON), as import-masks reads it.", show_default=False
    ),
]
Annotator = Annotated[str, typer.Option("--annotator", help="Who drew those of which no masks.json in the folder names anybody.")]


def compare_masks(run: Run, masks: Masks, annotator: Annotator = "second annotator") -> None:
    """Say how far a second annotator's masks agree with those of the run."""
    from hdgan.cli.progress import showing
    from hdgan.evaluation.compare import percent
    from hdgan.pipeline.agreement import PAGE
    from hdgan.pipeline.agreement import compare_masks as work
    from hdgan.pipeline.run import open_run

    with showing() as progress:
        found = work(open_run(run), masks, annotator=annotator, progress=progress)
    report, numbers = found.report, found.report["agreement"]
    names = [row["name"] for row in report["classes"]["classes"]]
    width = max(len(name) for name in [*names, "mean of the classes"])
    typer.echo(f"{' and '.join(report['annotators'])}, {len(report['images'])} images that both annotated")
    typer.echo(f"{'class':{width}}  {'Dice, %':>8}  {'boundary IoU, %':>15}")
    for i, name in enumerate(names):
        dice, contour = percent(numbers["pooled"]["per_class"]["dice"][i]), percent(numbers["boundary"]["iou"][i])
        typer.echo(f"{name:{width}}  {dice:>8}  {contour:>15}")
    macro, contour = percent(numbers["pooled"]["macro"]["dice"]), percent(numbers["boundary"]["macro_iou"])
    typer.echo(f"{'mean of the classes':{width}}  {macro:>8}  {contour:>15}")
    kappa = "-" if report["kappa"] is None else f"{report['kappa']:.2f}"
    typer.echo(f"the same label on {percent(numbers['pooled']['pixel_accuracy'])} % of the pixels, kappa {kappa}")
    alone = report["by_one_only"]["second"]
    if alone:
        typer.echo(f"not compared, the run has no mask of them: {', '.join(alone[:6])}{', ...' if len(alone) > 6 else ''}")
    typer.echo(f"written: {found.folder / PAGE}")
