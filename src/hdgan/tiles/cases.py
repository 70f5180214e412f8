"""What was cut, by slide and by case: a case is a patient with all of their slides."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hdgan.slides.table import SlideEntry
from hdgan.store.archive import TileRow
from hdgan.store.tables import csv_text

CASES = "cases.csv"
_SEPARATOR = ";"


@dataclass(frozen=True)
class CutSlide:
    """A slide and how many of its tiles stay."""

    name: str
    patient: str
    centre: str
    stain: str
    diagnosis: str
    num_tiles: int


@dataclass(frozen=True)
class Case:
    """A patient and what there is of them. Values are sorted, each once; what nobody said is not among them."""

    patient: str
    slides: tuple[str, ...]
    """Those with tiles."""
    stains: tuple[str, ...]
    centres: tuple[str, ...]
    diagnoses: tuple[str, ...]
    num_tiles: int


def cut_slides(entries: Iterable[SlideEntry], tiles_of: Mapping[str, int]) -> tuple[CutSlide, ...]:
    """The slides in their order; `tiles_of` says how many tiles stay of each by its name, none where it says nothing."""
    return tuple(CutSlide(e.name, e.patient, e.centre, e.stain, e.diagnosis, tiles_of.get(e.name, 0)) for e in entries)


def gather(slides: Iterable[CutSlide]) -> tuple[Case, ...]:
    """The cases, sorted by patient; slides without tiles add nothing but their patient."""
    of: dict[str, list[CutSlide]] = defaultdict(list)
    for slide in slides:
        of[slide.patient].append(slide)
    return tuple(_case(patient, of[patient]) for patient in sorted(of))


def lacking_stains(cases: Iterable[Case], *, min_stains: int | None) -> dict[str, str]:
    """Why each case with fewer than `min_stains` stains is left out, by patient; nothing where that is None."""
    return {
        case.patient: f"has {_number(case.stains)} of the {min_stains} stains asked for"
        for case in cases
        if min_stains is not None and len(case.stains) < min_stains
    }


def case_table(cases: Sequence[Case], rows: Iterable[TileRow], left_out: Mapping[str, str]) -> str:
    """`cases.csv`: a line for each case, with its folds and, where it was left out, why."""
    folds: dict[str, set[int]] = defaultdict(set)
    for row in rows:
        folds[row.patient].add(row.fold)
    header = ("patient", "num_slides", "slides", "num_stains", "stains", "centres", "diagnoses", "tiles", "folds", "left_out")
    lines = []
    for case in cases:
        reason = left_out.get(case.patient, "" if case.num_tiles else "no tile stays")
        held = [len(case.slides), _joined(case.slides), len(case.stains), _joined(case.stains)]
        known = [_joined(case.centres), _joined(case.diagnoses), case.num_tiles]
        lines.append([case.patient, *held, *known, _joined(sorted(folds[case.patient])), reason])
    return csv_text(header, lines)


def stain_counts(cases: Iterable[Case]) -> dict[str, int]:
    """How many cases have one stain, two, and so on: number of stains, as text, to cases."""
    counts = Counter(len(case.stains) for case in cases)
    return {str(number): counts[number] for number in sorted(counts)}


def _case(patient: str, slides: Sequence[CutSlide]) -> Case:
    held = [slide for slide in slides if slide.num_tiles]
    return Case(
        patient=patient,
        slides=tuple(slide.name for slide in held),
        stains=_values(slide.stain for slide in held),
        centres=_values(slide.centre for slide in held),
        diagnoses=_values(slide.diagnosis for slide in held),
        num_tiles=sum(slide.num_tiles for slide in held),
    )


def _values(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(values) - {""}))


def _joined(values: Iterable[object]) -> str:
    return _SEPARATOR.join(str(value) for value in values)


def _number(values: Sequence[str]) -> str:
    return f"{len(values)} ({', '.join(values)})" if values else "none"
