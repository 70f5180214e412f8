"""`hdgan inspect`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from hdgan.slides.inspect import SlideReport
    from hdgan.tiles.copying import Copying
    from hdgan.tiles.portrait import Portrait

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

PseudonymKey = Annotated[
    Path | None, typer.Option("--pseudonym-key", help="Key file: say the pseudonyms of each slide and its patient too.", show_default=False)
]


def inspect(slides: Slides, slide_mpp: SlideMpp = None, pictures: Pictures = None, pseudonym_key: PseudonymKey = None) -> None:
    """Say of each slide what it is and whether it can be cut."""
    from hdgan.errors import HdganError
    from hdgan.tiles.inspection import inspect_apart

    found = inspect_apart(slides, base=Path.cwd(), slide_mpp=slide_mpp, is_drawn=pictures is not None)
    known_as = _pseudonyms(slides, pseudonym_key)
    problems, reports = [], []
    for one in found:
        report = one.report
        reports.append(report)
        if report.problem:
            problems.append(report.problem + known_as.get(report.name, ""))
        if report.size_px is None or report.size_mm is None or report.problem:
            continue
        width, height = report.size_mm
        levels = ", ".join(f"{value:.4g}" for value in report.downsamples)
        size = f"{report.size_px[0]} x {report.size_px[1]} px, {width:.2f} x {height:.2f} mm"
        objective = f", objective x{report.objective:g}" if report.objective else ""
        name = report.name + known_as.get(report.name, "")
        about = f"{name}: {report.vendor}, {size}, {report.mpp:.4g} um/px{objective}, levels at {levels}; {_reading(report)}"
        typer.echo(about + (f"; {_copying(one.copying)}" if one.copying else ""))
        if pictures is not None and one.portrait is not None:
            _draw(one.portrait, pictures / f"{report.name}.png")
    if len(problems) == 1:
        raise HdganError(problems[0])
    if problems:
        raise HdganError(f"{len(problems)} of {len(reports)} slides cannot be cut: " + " | ".join(problems))


def _reading(report: SlideReport) -> str:
    """Which reader, and why."""
    names = {"direct": "tiles decoded directly", "openslide": "read by OpenSlide", "image": "read whole"}
    return names[report.reader] + (f" ({report.reason})" if report.reason else "")


def _copying(found: Copying) -> str:
    """Whether its JPEG tiles can be copied at the finest scale, and why not."""
    if found.tile_px is None:
        return f"stored as JPEG XL ({found.reason})"
    return f"stored by copying its JPEG tiles where those of a run lie on their grid of {found.tile_px[0]} x {found.tile_px[1]} px"


def _draw(portrait: Portrait, picture: Path) -> None:
    from hdgan.store.atomic import write_png

    write_png(picture, portrait.picture)
    shares = f"background {portrait.background:.1%}, pen {portrait.pen:.1%}, black {portrait.black:.1%}"
    damage = f", cannot be decoded {portrait.unreadable:.1%}" if portrait.unreadable else ""
    typer.echo(f"  white {portrait.white}, {shares}{damage}: {picture}")
    if portrait.white_note:
        typer.echo(f"  {portrait.white_note}")


def _pseudonyms(slides: list[str], key: Path | None) -> dict[str, str]:
    """What to say after the name of each slide, by that name; nothing without a key."""
    from hdgan.slides.pseudonyms import open_key
    from hdgan.slides.table import find_slides

    if key is None:
        return {}
    names = open_key(key)
    entries = find_slides(slides, base=Path.cwd())
    return {entry.name: f" ({names.slide(entry.name)} of {names.patient(entry.patient)})" for entry in entries}
