"""`hdgan inspect`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Slides = Annotated[list[str], typer.Argument(help="Slide files, folders, patterns, or slide tables (CSV).", show_default=False)]
SlideMpp = Annotated[
    float | None, typer.Option("--mpp", "--slide-mpp", help="Scale of slides that state none, um/px.", min=0, show_default=False)
]


def inspect(slides: Slides, slide_mpp: SlideMpp = None) -> None:
    """Say of each slide what it is and whether it can be cut."""
    from hdgan.errors import HdganError
    from hdgan.slides.inspect import inspect_slides

    reports = inspect_slides(slides, base=Path.cwd(), slide_mpp=slide_mpp)
    bad = [report for report in reports if report.problem]
    for report in reports:
        if report.size_px is None or report.size_mm is None or report.problem:
            continue
        width, height = report.size_mm
        levels = ", ".join(f"{value:.4g}" for value in report.downsamples)
        size = f"{report.size_px[0]} x {report.size_px[1]} px, {width:.2f} x {height:.2f} mm"
        typer.echo(f"{report.name}: {report.vendor}, {size}, {report.mpp:.4g} um/px, levels at {levels}")
    if len(bad) == 1:
        raise HdganError(bad[0].problem)
    if bad:
        raise HdganError(f"{len(bad)} of {len(reports)} slides cannot be cut: " + " | ".join(report.problem for report in bad))
