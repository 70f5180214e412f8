"""`hdgan inspect`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from hdgan.slides.inspect import SlideReport

Slides = Annotated[list[str], typer.Argument(help="Slide files, folders, patterns, or slide tables (CSV).", show_default=False)]
SlideMpp = Annotated[
    float | None, typer.Option("--mpp", "--slide-mpp", help="Scale of slides that state none, um/px.", min=0, show_default=False)
]
Pictures = Annotated[
    Path | None,
    typer.Option(
        "--pictures", help="Folder to draw each slide into, with its tissue, white point and scores.", file_okay=False, show_default=False
    ),
]


def inspect(slides: Slides, slide_mpp: SlideMpp = None, pictures: Pictures = None) -> None:
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
        objective = f", objective x{report.objective:g}" if report.objective else ""
        typer.echo(f"{report.name}: {report.vendor}, {size}, {report.mpp:.4g} um/px{objective}, levels at {levels}; {_reading(report)}")
        if pictures is not None:
            _draw(report.path, pictures / f"{report.name}.png", mpp=report.mpp)
    if len(bad) == 1:
        raise HdganError(bad[0].problem)
    if bad:
        raise HdganError(f"{len(bad)} of {len(reports)} slides cannot be cut: " + " | ".join(report.problem for report in bad))


def _reading(report: SlideReport) -> str:
    """Which reader, and why."""
    names = {"direct": "tiles decoded directly", "openslide": "read by OpenSlide", "image": "read whole"}
    return names[report.reader] + (f" ({report.reason})" if report.reason else "")


def _draw(slide: Path, picture: Path, *, mpp: float | None) -> None:
    from hdgan.store.atomic import write_png
    from hdgan.tiles.portrait import portray

    portrait = portray(slide, mpp=mpp)
    write_png(picture, portrait.picture)
    shares = f"background {portrait.background:.1%}, pen {portrait.pen:.1%}, black {portrait.black:.1%}"
    damage = f", cannot be decoded {portrait.unreadable:.1%}" if portrait.unreadable else ""
    typer.echo(f"  white {portrait.white}, {shares}{damage}: {picture}")
