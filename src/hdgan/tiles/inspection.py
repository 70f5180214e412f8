"""Slides as `hdgan inspect` shows them, opened and drawn by processes of their own: a reader that crashes or hangs costs a line about its slide."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hdgan.progress import SILENT, Progress
from hdgan.slides.inspect import SlideReport, inspect_slide
from hdgan.slides.table import SlideEntry, find_slides
from hdgan.stopping import stoppable
from hdgan.tiles.copying import Copying, copying
from hdgan.tiles.crew import Crew, Job, in_order, num_cores
from hdgan.tiles.pool import ProcessCrew
from hdgan.tiles.portrait import Portrait, portray


@dataclass(frozen=True)
class Inspected:
    """What is known of a slide."""

    report: SlideReport
    copying: Copying | None = None
    """What copies of its finest level would be; None where it cannot be cut."""
    portrait: Portrait | None = None
    """None where it was not asked for, or cannot be had: the report says why."""


def inspect_apart(sources: Sequence[str], *, base: Path, slide_mpp: float | None = None, is_drawn: bool = False) -> Iterator[Inspected]:
    """Each slide that `sources` name, in order; with `is_drawn` each that can be cut has its portrait. `slide_mpp` (um/px) counts for those that
    do not state a scale.

    Raises:
        BadInput: the sources themselves cannot be read; what is wrong with one slide stands in its report.
    """
    entries = find_slides(sources, base=base)
    with stoppable(), ProcessCrew(min(num_cores(), len(entries))) as crew:
        for entry, report in zip(entries, reports_of(entries, crew, slide_mpp=slide_mpp), strict=True):
            found = Inspected(report) if report.problem else _with_copying(entry, report, crew)
            yield _drawn(entry, found, crew) if is_drawn and not found.report.problem else found


def reports_of(entries: Sequence[SlideEntry], crew: Crew, *, slide_mpp: float | None) -> list[SlideReport]:
    """The report for each slide; `crew` opens them."""
    outcomes = in_order(crew.run([Job(str(entry.path), report_slide, (entry, slide_mpp)) for entry in entries]))
    return [
        outcome.value or SlideReport(entry.name, entry.path, problem=str(outcome.problem))
        for entry, outcome in zip(entries, outcomes, strict=True)
    ]


def _with_copying(entry: SlideEntry, report: SlideReport, crew: Crew) -> Inspected:
    (outcome,) = crew.run([Job(str(entry.path), copying_slide, (entry.path, report.mpp))])
    if outcome.problem is not None:
        return Inspected(SlideReport(entry.name, entry.path, problem=str(outcome.problem)))
    return Inspected(report, outcome.value)


def _drawn(entry: SlideEntry, found: Inspected, crew: Crew) -> Inspected:
    (outcome,) = crew.run([Job(str(entry.path), portray_slide, (entry.path, found.report.mpp))])
    if outcome.problem is not None:
        return Inspected(SlideReport(entry.name, entry.path, problem=str(outcome.problem)))
    return replace(found, portrait=outcome.value)


def report_slide(entry: SlideEntry, slide_mpp: float | None, *, progress: Progress = SILENT) -> SlideReport:
    """The report for one slide."""
    del progress
    return inspect_slide(entry, slide_mpp=slide_mpp)


def copying_slide(path: Path, mpp: float | None, *, progress: Progress = SILENT) -> Copying:
    """What copies of the finest level of the slide at `path` would be.

    Raises:
        BadInput: it cannot be opened or has no scale.
    """
    del progress
    return copying(path, mpp=mpp)


def portray_slide(path: Path, mpp: float | None, *, progress: Progress = SILENT) -> Portrait:
    """The portrait of the slide at `path`.

    Raises:
        BadInput: it cannot be opened or has no scale.
    """
    return portray(path, mpp=mpp, progress=progress)
