from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdgan.store.archive import TileRow
from hdgan.tiles.folds import assign_folds, fold_counts, fold_warnings, leaks


def row(patient, *, centre="", stain="", fold=-1, name="t"):
    return TileRow(name, f"{patient}-{stain}", patient, centre, stain, fold, 0, 0, 64, 64, 0.5, 0.0)


def with_folds(rows, folds):
    return [row(r.patient, centre=r.centre, stain=r.stain, fold=folds[r.patient]) for r in rows]


def painted_cohort(num_patients=100, seed=0):
    """Patients of three centres, each with up to four stains and a number of tiles that varies a lot."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(num_patients):
        centre = ("Rome", "Pisa", "Bern")[int(rng.choice(3, p=[0.6, 0.3, 0.1]))]
        for stain in ("HE", "PAS", "silver", "trichrome"):
            if rng.random() < 0.8:
                rows += [row(f"p{i:03}", centre=centre, stain=stain)] * int(rng.integers(1, 40))
    return rows


def imbalance(rows, num_folds):
    """Largest relative distance from an even share, over all tiles and every centre and stain."""
    worst = 0.0
    for key in ("patient", "centre", "stain"):
        for value in {"" if key == "patient" else getattr(r, key) for r in rows}:
            folds = [r.fold for r in rows if not value or getattr(r, key) == value]
            counts = np.bincount(folds, minlength=num_folds)
            worst = max(worst, float(np.abs(counts / counts.mean() - 1).max()))
    return worst


def test_a_cohort_of_100_patients_is_balanced_and_does_not_leak():
    rows = painted_cohort()
    dealt = with_folds(rows, assign_folds(rows, num_folds=5, seed=0))
    assert leaks(dealt) == {}
    assert imbalance(dealt, 5) < 0.1
    rng = np.random.default_rng(0)
    by_chance = [with_folds(rows, {f"p{i:03}": int(rng.integers(5)) for i in range(100)}) for _ in range(20)]
    assert imbalance(dealt, 5) < min(imbalance(chance, 5) for chance in by_chance) / 2


def test_equal_seeds_give_equal_folds_whatever_the_order_of_the_tiles():
    rows = painted_cohort(30)
    folds = assign_folds(rows, num_folds=5, seed=3)
    assert assign_folds(rows[::-1], num_folds=5, seed=3) == folds


def test_another_seed_deals_equal_patients_otherwise():
    rows = [row(f"p{i}") for i in range(20)]
    deals = {tuple(assign_folds(rows, num_folds=4, seed=seed).values()) for seed in range(5)}
    assert len(deals) > 1


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 12), st.integers(1, 7), st.integers(0, 99))
def test_every_fold_is_used_when_there_are_patients_enough(num_patients, num_folds, seed):
    rng = np.random.default_rng(seed)
    rows = [row(f"p{i}", stain=str(rng.integers(3))) for i in range(num_patients) for _ in range(int(rng.integers(1, 9)))]
    folds = assign_folds(rows, num_folds=num_folds, seed=seed)
    assert sorted(set(folds.values())) == list(range(min(num_patients, num_folds)))


def test_a_patient_in_two_folds_is_a_leak():
    assert leaks([row("A", fold=0), row("B", fold=1), row("A", fold=2)]) == {"A": (0, 2)}


def test_counts_hold_tiles_and_patients_of_every_fold():
    rows = [row("A", fold=0), row("A", fold=0), row("B", fold=2)]
    assert fold_counts(rows, num_folds=3) == [{"tiles": 2, "patients": 1}, {"tiles": 0, "patients": 0}, {"tiles": 1, "patients": 1}]


def test_a_stain_that_a_fold_lacks_and_folds_without_patients_are_warned_of():
    rows = [row("A", stain="PAS", fold=0), row("A", stain="HE", fold=0), row("B", stain="PAS", fold=1)]
    lines = fold_warnings(rows, num_folds=3)
    assert lines == ("patients: 2, folds: 3; the last 1 stay empty", "stain HE is missing from fold 1")
    assert fold_warnings(rows[::2], num_folds=2) == ()


@pytest.mark.parametrize("num_folds", [1, 3])
def test_one_patient_lies_in_the_first_fold(num_folds):
    assert assign_folds([row("A")], num_folds=num_folds, seed=9) == {"A": 0}
