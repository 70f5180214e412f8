from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdgan.errors import BadInput
from hdgan.tiles.folds import (
    Spread,
    by_centre,
    by_patient,
    by_tile,
    fold_counts,
    fold_warnings,
    imbalance,
    leaks,
    missing_values,
    spread,
    strata,
)
from tests.tiles.cohorts import cut, painted_cohort, row, rows_of


def test_a_cohort_of_100_patients_is_balanced_and_does_not_leak():
    slides = painted_cohort()
    folds = by_patient(slides, num_folds=5, seed=0)
    assert leaks(rows_of(slides, folds)) == {}
    found = imbalance(slides, folds, num_folds=5)
    assert found["tiles"]["largest"] < 0.04
    assert found["slides"]["rms"] < 0.015
    rng = np.random.default_rng(0)
    by_chance = [imbalance(slides, {f"p{i:03}": int(rng.integers(5)) for i in range(100)}, num_folds=5) for _ in range(20)]
    for unit in ("slides", "tiles"):
        assert found[unit]["rms"] < min(chance[unit]["rms"] for chance in by_chance) / 3


def test_equal_seeds_give_equal_folds_whatever_the_order_of_the_slides():
    slides = painted_cohort(30)
    folds = by_patient(slides, num_folds=5, seed=3)
    assert by_patient(slides[::-1], num_folds=5, seed=3) == folds


def test_another_seed_deals_equal_patients_otherwise():
    slides = [cut(f"p{i}") for i in range(20)]
    deals = {tuple(by_patient(slides, num_folds=4, seed=seed).values()) for seed in range(5)}
    assert len(deals) > 1


@settings(max_examples=15)
@given(st.integers(1, 12), st.integers(1, 7), st.integers(0, 99))
def test_every_fold_is_used_when_there_are_patients_enough(num_patients, num_folds, seed):
    rng = np.random.default_rng(seed)
    slides = [
        cut(f"p{i}", name=f"{i}-{n}", stain=str(rng.integers(3))) for i in range(num_patients) for n in range(int(rng.integers(1, 9)))
    ]
    folds = by_patient(slides, num_folds=num_folds, seed=seed)
    assert sorted(set(folds.values())) == list(range(min(num_patients, num_folds)))


@pytest.mark.parametrize("num_folds", [1, 3])
def test_one_patient_lies_in_the_first_fold_and_nobody_in_none(num_folds):
    assert by_patient([cut("A")], num_folds=num_folds, seed=9) == {"A": 0}
    assert by_patient([cut("A", num_tiles=0)], num_folds=num_folds, seed=9) == {}


def test_strata_count_slides_and_tiles_of_every_value_and_of_the_combinations_that_occur():
    slides = [
        cut("A", stain="PAS", centre="Rome", diagnosis="MN", num_tiles=5),
        cut("A", name="2", stain="HE", centre="Rome", diagnosis="MN", num_tiles=2),
        cut("B", stain="PAS", centre="Pisa", diagnosis="MN", num_tiles=1),
        cut("C", stain="silver", centre="Bern", num_tiles=0),
    ]
    found = strata(slides)
    assert found.patients == ("A", "B")
    counts = dict(zip(found.names, found.counts.T.tolist(), strict=True))
    assert counts["slides", "all", ""] == [2, 1]
    assert counts["tiles", "stain", "PAS"] == [5, 1]
    assert counts["tiles", "cell", "Rome / HE"] == [2, 0]
    assert not any(kind == "diagnosis" for _, kind, _ in found.names)  # the same for all: nothing to spread
    assert not any("Bern" in value for *_, value in found.names)
    weights = defaultdict(float)
    for (unit, kind, _), weight in zip(found.names, found.weights, strict=True):
        weights[unit, kind] += weight
    assert all(weight == pytest.approx(1) for weight in weights.values())


def test_imbalance_is_the_largest_and_the_mean_deviation_of_all_values():
    slides = [cut("A", stain="PAS", num_tiles=3), cut("B", stain="PAS", num_tiles=1)]
    found = imbalance(slides, {"A": 0, "B": 1}, num_folds=2)
    assert found == {"slides": {"largest": 0.0, "rms": 0.0}, "tiles": {"largest": 0.25, "rms": 0.25}}


def test_each_centre_is_a_fold_in_the_order_of_their_names():
    assert by_centre([cut("A", centre="Rome"), cut("B", centre="Bern"), cut("C", centre="Rome")]) == {"Bern": 0, "Rome": 1}


@pytest.mark.parametrize(
    ("slides", "what"),
    [
        ([cut("A", centre="Rome"), cut("B", name="b1")], r"slide b1: has no centre, and folds are by centre; fill the column `centre`"),
        ([cut("A", centre="Rome"), cut("A", name="2", centre="Pisa")], r"patient A: has slides of 2 centres \(Pisa, Rome\)"),
        ([cut("A", centre="Rome"), cut("B", centre="Rome")], r"there is one centre \(Rome\)"),
    ],
)
def test_folds_by_centre_are_refused_where_centres_do_not_part_the_patients(slides, what):
    with pytest.raises(BadInput, match=what):
        by_centre(slides)


def test_folds_by_tile_split_every_stratum_evenly_and_leak():
    slides = painted_cohort(20)
    rows = rows_of(slides)
    folds = by_tile(rows, slides, num_folds=5, seed=0)
    assert by_tile(rows[::-1], slides, num_folds=5, seed=0) == folds
    assert by_tile(rows, slides, num_folds=5, seed=1) != folds
    assert sorted(folds) == sorted(r.name for r in rows)
    assert np.ptp(list(Counter(folds.values()).values())) <= 1
    cells = defaultdict(Counter)
    of = {s.name: (s.centre, s.stain, s.diagnosis) for s in slides}
    for r in rows:
        cells[of[r.slide]][folds[r.name]] += 1
    assert all(max(c.values()) - min(c[f] for f in range(5)) <= 1 for c in cells.values())
    assert len(leaks([row(r.patient, fold=folds[r.name]) for r in rows])) == len({s.patient for s in slides if s.num_tiles > 0})


def test_a_patient_in_two_folds_is_a_leak():
    assert leaks([row("A", fold=0), row("B", fold=1), row("A", fold=2)]) == {"A": (0, 2)}


def test_counts_hold_tiles_and_patients_of_every_fold():
    rows = [row("A", fold=0), row("A", fold=0), row("B", fold=2)]
    assert fold_counts(rows, num_folds=3) == [{"tiles": 2, "patients": 1}, {"tiles": 0, "patients": 0}, {"tiles": 1, "patients": 1}]


def test_what_a_fold_lacks_and_folds_without_patients_are_warned_of():
    slides = [cut("A", stain="PAS", diagnosis="MN"), cut("A", stain="HE", diagnosis="MN"), cut("B", stain="PAS", diagnosis="IgAN")]
    rows = rows_of(slides, {"A": 0, "B": 1})
    assert fold_warnings(rows, slides, num_folds=3) == (
        "patients: 2, folds: 3; the last 1 stay empty",
        "stain HE is missing from fold 1",
        "diagnosis IgAN is missing from fold 0",
        "diagnosis MN is missing from fold 1",
    )
    assert fold_warnings(rows[:1], slides, num_folds=1) == ()


def test_by_centre_a_centre_in_one_fold_is_no_news_and_an_empty_fold_is():
    slides = [cut("A", centre="Bern", stain="PAS"), cut("B", centre="Rome", stain="PAS")]
    rows = rows_of(slides, {"A": 0, "B": 2})
    assert fold_warnings(rows, slides, num_folds=3, kept_together="centre") == ("no tile in fold 1",)


def test_by_tile_the_patients_that_leak_are_counted():
    slides = [cut("A", num_tiles=2), cut("B")]
    rows = [row("A", slide="A-", fold=0), row("A", slide="A-", fold=1), row("B", slide="B-", fold=1)]
    (line,) = fold_warnings(rows, slides, num_folds=2, kept_together="tile")
    assert line.startswith("folds by tile: 1 of 2 patients lie in several folds; what a held-out fold tests was partly trained on")


def test_a_tile_of_which_a_value_is_unknown_silences_no_warning_and_is_counted():
    assert missing_values("class", [("glomerulus", 0), ("tubule", 1), ("tubule", 0)]) == ["class glomerulus is missing from fold 1"]
    lacking = [("glomerulus", 0), ("tubule", 1), ("tubule", 0), ("", 2)]
    assert missing_values("class", lacking) == [
        "class glomerulus is missing from fold 1, 2",
        "class tubule is missing from fold 2",
        "of 1 tile the class is unknown",
    ]
    assert missing_values("class", [("tubule", 0), ("tubule", 1), ("", 0), ("", 1)]) == ["of 2 tiles the class is unknown"]
    assert missing_values("class", [("", 0), ("", 1)]) == []


@given(st.lists(st.tuples(st.sampled_from(["", "a", "b", "c"]), st.integers(0, 3)), max_size=30))
def test_unknown_tiles_take_no_warning_away(placed):
    known = [(value, fold) for value, fold in placed if value]
    lines, of_known = missing_values("class", placed), missing_values("class", known)
    for line in of_known:
        value, _, folds = line.partition(" is missing from fold ")
        (told,) = [other for other in lines if other.startswith(f"{value} is missing from fold ")]
        assert set(folds.split(", ")) <= set(told.rpartition(" fold ")[2].split(", "))


def test_what_lies_in_each_fold_adds_up_and_unknown_values_are_not_shown():
    slides = [cut("A", stain="PAS", num_tiles=3), cut("B", stain="HE", diagnosis="MN", num_tiles=2), cut("C", name="C-", num_tiles=1)]
    found = spread(rows_of(slides, {"A": 0, "B": 1, "C": 1}), slides, num_folds=3)
    assert found == (
        Spread("all", "", (1, 2, 0), (3, 3, 0)),
        Spread("stain", "HE", (0, 1, 0), (0, 2, 0)),
        Spread("stain", "PAS", (1, 0, 0), (3, 0, 0)),
        Spread("diagnosis", "MN", (0, 1, 0), (0, 2, 0)),
    )
