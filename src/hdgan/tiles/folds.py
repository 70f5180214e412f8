"""Folds: by patient (balanced), by centre (each left out once), or by tile.

By patient is the rule. A patient's tiles never lie in two folds: tiles of one slide show the same tissue, and a network tested on
them repeats what it has seen. Slides and tiles of every centre, stain, diagnosis, and of every combination of the three that occurs, are spread
evenly. Each of these kinds weighs the same, and a stratum of a kind weighs by its patients: few cannot be spread evenly however they are dealt
(`balance.py` has the cost).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hdgan.errors import BadInput
from hdgan.randomness import stream
from hdgan.store.archive import TileRow
from hdgan.tiles import balance
from hdgan.tiles.cases import CutSlide

_COLUMNS = ("centre", "stain", "diagnosis")


@dataclass(frozen=True)
class Strata:
    """How much each patient has of everything that is to be spread evenly."""

    patients: tuple[str, ...]
    counts: np.ndarray
    """int64 `[P, S]`: slides, then tiles, of each stratum."""
    names: tuple[tuple[str, str, str], ...]
    """Of each stratum: unit (slides, tiles), kind (all, centre, stain, diagnosis, cell) and value."""

    @property
    def weights(self) -> np.ndarray:
        """float64 `[S]`: each kind of each unit weighs 1, spread over its strata by their patients."""
        num_patients = (self.counts > 0).sum(axis=0)
        of_kind: dict[tuple[str, str], int] = defaultdict(int)
        for (unit, kind, _), number in zip(self.names, num_patients, strict=True):
            of_kind[unit, kind] += int(number)
        return np.array([number / of_kind[unit, kind] for (unit, kind, _), number in zip(self.names, num_patients, strict=True)])


def strata(slides: Iterable[CutSlide]) -> Strata:
    """The strata of slides with tiles. A column with one value is left out, and so are the combinations where fewer than two columns vary."""
    held = [slide for slide in slides if slide.num_tiles]
    patients = sorted({slide.patient for slide in held})
    index = {patient: i for i, patient in enumerate(patients)}
    varied = [name for name in _COLUMNS if len({getattr(slide, name) for slide in held}) > 1]
    places: dict[tuple[str, str, str], int] = {}
    cells: dict[tuple[int, int], int] = defaultdict(int)
    for unit in ("slides", "tiles"):
        for slide in held:
            values = {name: getattr(slide, name) for name in varied}
            if len(varied) > 1:
                values["cell"] = " / ".join(values.values())
            for kind, value in {"all": "", **values}.items():
                place = places.setdefault((unit, kind, value), len(places))
                cells[index[slide.patient], place] += 1 if unit == "slides" else slide.num_tiles
    counts = np.zeros((len(patients), len(places)), np.int64)
    for (patient, place), count in cells.items():
        counts[patient, place] = count
    return Strata(tuple(patients), counts, tuple(places))


def by_patient(slides: Iterable[CutSlide], *, num_folds: int, seed: int) -> dict[str, int]:
    """The fold (0 to `num_folds` - 1) of each patient with tiles; with too few patients the last folds stay empty."""
    found = strata(sorted(slides, key=lambda slide: slide.name))
    if not found.patients:
        return {}
    folds = balance.deal(found.counts, found.weights, num_folds=num_folds, seed=seed)
    return {patient: int(fold) for patient, fold in zip(found.patients, folds, strict=True)}


def by_centre(slides: Iterable[CutSlide]) -> dict[str, int]:
    """The fold of each centre, in the order of their names.

    Raises:
        BadInput: a slide has no centre, there is one centre only, or a patient has slides of two, whose tissue would lie in two folds.
    """
    of: dict[str, set[str]] = defaultdict(set)
    for slide in slides:
        if not slide.centre:
            raise BadInput(f"slide {slide.name}", "has no centre, and folds are by centre", "fill the column `centre` of the slide table")
        of[slide.patient].add(slide.centre)
    for patient, centres in sorted(of.items()):
        if len(centres) > 1:
            what = f"has slides of {len(centres)} centres ({', '.join(sorted(centres))}), and folds are by centre"
            raise BadInput(f"patient {patient}", what, 'correct the slide table, or set `folds = "patient"`')
    names = sorted(set().union(*of.values()))
    if len(names) < 2:
        raise BadInput("tiles.folds", f"there is one centre ({', '.join(names)}), and folds are by centre", 'set `folds = "patient"`')
    return {centre: fold for fold, centre in enumerate(names)}


def by_tile(rows: Sequence[TileRow], slides: Iterable[CutSlide], *, num_folds: int, seed: int) -> dict[str, int]:
    """The fold of each tile by its name, whoever it belongs to: the tiles of each centre, stain and diagnosis are dealt out in turn, in
    an order drawn by `seed`.
    """
    cell = {slide.name: (slide.centre, slide.stain, slide.diagnosis) for slide in slides}
    ordered = sorted(rows, key=lambda row: row.name)
    shuffled = stream(seed, "tiles.folds.tile").permutation(len(ordered))
    order = sorted(range(len(ordered)), key=lambda i: (cell[ordered[i].slide], shuffled[i]))
    return {ordered[i].name: turn % num_folds for turn, i in enumerate(order)}


def imbalance(slides: Iterable[CutSlide], fold_of: Mapping[str, int], *, num_folds: int) -> dict[str, dict[str, float]]:
    """How uneven the folds of patients are: for `slides` and `tiles` the `largest` and the root mean square (`rms`) deviation of a share
    from 1 / `num_folds`, over all, each centre, each stain and each diagnosis, to 1e-4.
    """
    found = strata(slide for slide in slides if slide.patient in fold_of)
    folds = np.array([fold_of[patient] for patient in found.patients])
    away = balance.deviations(found.counts, folds, num_folds=num_folds)
    told = {}
    for unit in ("slides", "tiles"):
        of = away[[name[0] == unit and name[1] != "cell" for name in found.names]]
        told[unit] = {"largest": round(float(np.abs(of).max()), 4), "rms": round(float(np.sqrt((of**2).mean())), 4)}
    return told


def leaks(rows: Sequence[TileRow]) -> dict[str, tuple[int, ...]]:
    """Patients whose tiles lie in more than one fold, with those folds; empty when nothing leaks."""
    seen: dict[str, set[int]] = defaultdict(set)
    for row in rows:
        seen[row.patient].add(row.fold)
    return {patient: tuple(sorted(folds)) for patient, folds in sorted(seen.items()) if len(folds) > 1}


def fold_counts(rows: Sequence[TileRow], *, num_folds: int) -> list[dict[str, int]]:
    """Tiles and patients of each fold."""
    tiles = np.bincount([row.fold for row in rows], minlength=num_folds)
    patients: list[set[str]] = [set() for _ in range(num_folds)]
    for row in rows:
        patients[row.fold].add(row.patient)
    return [{"tiles": int(tiles[fold]), "patients": len(patients[fold])} for fold in range(num_folds)]


@dataclass(frozen=True)
class Spread:
    """How one stratum lies over the folds."""

    kind: str
    """`all`, `centre`, `stain` or `diagnosis`."""
    value: str
    slides: tuple[int, ...]
    """Slides with tiles in each fold."""
    tiles: tuple[int, ...]
    """Tiles in each fold."""


def spread(rows: Sequence[TileRow], slides: Iterable[CutSlide], *, num_folds: int) -> tuple[Spread, ...]:
    """Slides and tiles of each fold: all, then of every centre, stain and diagnosis that is known."""
    of = {slide.name: slide for slide in slides}
    names: dict[tuple[int, str], list[set[str]]] = defaultdict(lambda: [set() for _ in range(num_folds)])
    tiles: dict[tuple[int, str], list[int]] = defaultdict(lambda: [0] * num_folds)
    for row in rows:
        for order, value in enumerate(("all", *(getattr(of[row.slide], name) for name in _COLUMNS))):
            if value:
                names[order, value][row.fold].add(row.slide)
                tiles[order, value][row.fold] += 1
    kinds = ("all", *_COLUMNS)
    return tuple(
        Spread(kinds[order], value if order else "", tuple(len(of_fold) for of_fold in names[order, value]), tuple(tiles[order, value]))
        for order, value in sorted(tiles)
    )


def fold_warnings(
    rows: Sequence[TileRow], slides: Iterable[CutSlide], *, num_folds: int, kept_together: str = "patient"
) -> tuple[str, ...]:
    """A line for the folds that are empty, and for each stain, centre or diagnosis that a fold lacks; what is not known of some tiles is said.

    `kept_together` is what folds are by: that a centre is in one of them is no news where each is a fold, and what leaks is told by tile.
    """
    lines = []
    num_patients = len({row.patient for row in rows})
    occupied = {row.fold for row in rows}
    if kept_together == "patient" and num_patients < num_folds:
        lines.append(f"patients: {num_patients}, folds: {num_folds}; the last {num_folds - num_patients} stay empty")
    elif len(occupied) < num_folds:
        lines.append(f"no tile in fold {_listed(set(range(num_folds)) - occupied)}")
    if kept_together == "tile":
        what = "what a held-out fold tests was partly trained on, so that its figures are too good"
        lines.append(f"folds by tile: {len(leaks(rows))} of {num_patients} patients lie in several folds; {what}")
    of = {slide.name: slide for slide in slides}
    for what in ("stain", "centre", "diagnosis"):
        if what != kept_together:
            lines += missing_values(what, ((getattr(of[row.slide], what), row.fold) for row in rows))
    return tuple(lines)


def unknown_patients(num: int, *, of: str) -> list[str]:
    """A line where nobody said of `num` slides or images (`of`) whose they are: patients then lie in several folds, and nothing else shows it."""
    return [f"patient: not known of {num} {of}, each of which counts as one; give a table with a column `patient`"] if num else []


def missing_values(what: str, placed: Iterable[tuple[str, int]]) -> list[str]:
    """A line for each value that some of the occupied folds lack, and one for the tiles of which it is unknown; `placed` holds (value, fold) of
    each tile. None where it is known of no tile.
    """
    folds: Mapping[str, set[int]] = defaultdict(set)
    num_unknown = 0
    for value, fold in placed:
        folds[value].add(fold)
        num_unknown += not value
    occupied = set().union(*folds.values())
    if not folds.keys() - {""}:
        return []
    known = sorted((value, of) for value, of in folds.items() if value)
    lines = [f"{what} {value} is missing from fold {_listed(occupied - of)}" for value, of in known if of != occupied]
    return [*lines, f"of {num_unknown} tile{'s' if num_unknown > 1 else ''} the {what} is unknown"] if num_unknown else lines


def _listed(folds: Iterable[int]) -> str:
    return ", ".join(str(fold) for fold in sorted(folds))
