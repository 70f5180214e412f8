"""Folds by patient, balanced over tiles, centres and stains.

A patient's tiles never lie in two folds: tiles of one slide show the same tissue, and a network tested on them repeats what it
has seen. Patients are dealt out greedily, largest first, each to the fold where the sum of squared distances from an
even share is least (as scikit-learn's StratifiedGroupKFold does, with centre, stain and their pairs as strata and the tiles
as weights), then moved one by one as long as that sum falls.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from hdgan.randomness import stream
from hdgan.store.archive import TileRow

_MAX_SWEEPS = 20


def assign_folds(rows: Sequence[TileRow], *, num_folds: int, seed: int) -> dict[str, int]:
    """The fold (0 to `num_folds` - 1) of each patient in `rows`. Which of equally large patients comes first is drawn by
    `seed`; with too few patients the last folds stay empty.
    """
    patients = sorted({row.patient for row in rows})
    weights = _weights(rows, patients)
    shuffled = stream(seed, "tiles.folds").permutation(len(patients))
    order = sorted(range(len(patients)), key=lambda i: (-weights[i, 0], shuffled[i]))
    target = weights.sum(axis=0) / num_folds
    scale = 1 / np.maximum(weights.sum(axis=0), 1)  # a rare stain weighs as much as a frequent one
    totals = np.zeros((num_folds, weights.shape[1]))
    folds = np.zeros(len(patients), np.intp)
    for i in order:
        costs = [_cost(totals[f] + weights[i], target, scale) - _cost(totals[f], target, scale) for f in range(num_folds)]
        folds[i] = min(range(num_folds), key=lambda f: round(costs[f], 12))
        totals[folds[i]] += weights[i]
    _improve(folds, weights, totals, target, scale)
    return {patient: int(fold) for patient, fold in zip(patients, folds, strict=True)}


def leaks(rows: Sequence[TileRow]) -> dict[str, tuple[int, ...]]:
    """Patients whose tiles lie in more than one fold, with those folds; empty when nothing leaks."""
    seen: dict[str, set[int]] = defaultdict(set)
    for row in rows:
        seen[row.patient].add(row.fold)
    return {patient: tuple(sorted(folds)) for patient, folds in sorted(seen.items()) if len(folds) > 1}


def fold_counts(rows: Sequence[TileRow], *, num_folds: int) -> list[dict[str, int]]:
    """Tiles and patients of each fold."""
    members = [[row for row in rows if row.fold == fold] for fold in range(num_folds)]
    return [{"tiles": len(of), "patients": len({row.patient for row in of})} for of in members]


def fold_warnings(rows: Sequence[TileRow], *, num_folds: int) -> tuple[str, ...]:
    """A line for each fold that is empty or lacks a stain or centre that others have, where they are known."""
    lines = []
    patients = len({row.patient for row in rows})
    if patients < num_folds:
        lines.append(f"patients: {patients}, folds: {num_folds}; the last {num_folds - patients} stay empty")
    for what in ("stain", "centre"):
        by_value: Mapping[str, set[int]] = _folds_of(rows, what)
        occupied = {row.fold for row in rows}
        if "" in by_value:  # not known of every slide
            continue
        for value, folds in sorted(by_value.items()):
            if folds != occupied:
                lines.append(f"{what} {value} is missing from fold {', '.join(str(f) for f in sorted(occupied - folds))}")
    return tuple(lines)


def _folds_of(rows: Sequence[TileRow], what: str) -> dict[str, set[int]]:
    found: dict[str, set[int]] = defaultdict(set)
    for row in rows:
        found[getattr(row, what)].add(row.fold)
    return found


def _weights(rows: Sequence[TileRow], patients: Sequence[str]) -> np.ndarray:
    """Tiles of each patient `[P, S]`: in all, by centre, by stain, and by pair of the two; float64."""
    index = {patient: i for i, patient in enumerate(patients)}
    strata: dict[tuple[str, ...], int] = {("all",): 0}
    cells: dict[tuple[int, int], int] = defaultdict(int)
    for row in rows:
        for key in (("all",), ("centre", row.centre), ("stain", row.stain), ("pair", row.centre, row.stain)):
            cells[index[row.patient], strata.setdefault(key, len(strata))] += 1
    weights = np.zeros((len(patients), len(strata)))
    for (patient, stratum), count in cells.items():
        weights[patient, stratum] = count
    return weights


def _cost(total: np.ndarray, target: np.ndarray, scale: np.ndarray) -> float:
    return float((((total - target) * scale) ** 2).sum())


def _improve(folds: np.ndarray, weights: np.ndarray, totals: np.ndarray, target: np.ndarray, scale: np.ndarray) -> None:
    """Moves single patients, in place, while the cost falls; no fold is emptied."""
    for _ in range(_MAX_SWEEPS):
        has_moved = False
        for i in range(len(folds)):
            here = folds[i]
            if (folds == here).sum() == 1:
                continue
            without = totals[here] - weights[i]
            gain = _cost(totals[here], target, scale) - _cost(without, target, scale)
            added = [_cost(total + weights[i], target, scale) - _cost(total, target, scale) for total in totals]
            added[here] = gain
            best = int(np.argmin(np.round(added, 12)))
            if added[best] < gain - 1e-9:
                totals[here], totals[best], folds[i] = without, totals[best] + weights[i], best
                has_moved = True
        if not has_moved:
            return
