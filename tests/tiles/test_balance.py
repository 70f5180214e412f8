from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdgan.tiles import balance
from hdgan.tiles.balance import deal, deviations
from hdgan.tiles.folds import strata
from tests.tiles.cohorts import painted_cohort


def counts_of(num_groups, num_strata, seed):
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 9, (num_groups, num_strata)) * rng.integers(0, 2, (num_groups, num_strata))
    counts[:, 0] = rng.integers(1, 20, num_groups)
    return counts


def cost(counts, weights, folds, num_folds):
    """The cost as the module states it, from the shares themselves."""
    away = deviations(counts, np.asarray(folds), num_folds=num_folds)
    return float((weights[:, None] * away**2).sum())


def test_deviations_are_shares_of_each_stratum_less_an_even_one():
    counts = np.array([[1, 2], [1, 0], [2, 0]])
    found = deviations(counts, np.array([0, 1, 1]), num_folds=2)
    assert found.tolist() == [[0.25 - 0.5, 0.75 - 0.5], [1 - 0.5, 0 - 0.5]]
    assert deviations(np.zeros((2, 1), int), np.array([0, 1]), num_folds=2).tolist() == [[0, 0]]


@pytest.mark.parametrize("seed", range(6))
def test_a_few_groups_are_dealt_at_the_least_cost_there_is(seed):
    """All deals of 7 groups into 2 or 3 folds are tried; rounding to whole units costs next to nothing."""
    num_folds = 2 + seed % 2
    counts, weights = counts_of(7, 5, seed), np.array([1.0, 1, 0.5, 2, 1])
    every = (folds for folds in itertools.product(range(num_folds), repeat=7) if len(set(folds)) == num_folds)
    least = min(cost(counts, weights, folds, num_folds) for folds in every)
    assert cost(counts, weights, deal(counts, weights, num_folds=num_folds, seed=seed), num_folds) == pytest.approx(least, abs=1e-6)


def test_no_swap_and_no_move_makes_a_cohort_of_100_patients_cheaper():
    found = strata(painted_cohort())
    folds = deal(found.counts, found.weights, num_folds=5, seed=1)
    here = cost(found.counts, found.weights, folds, 5)
    others = []
    for i in range(100):
        for fold in set(range(5)) - {folds[i]}:
            others.append(folds.copy())
            others[-1][i] = fold
        for j in range(i):
            others.append(folds.copy())
            others[-1][[i, j]] = folds[[j, i]]
    assert min(cost(found.counts, found.weights, other, 5) for other in others) > here * (1 - 1e-3)


@settings(max_examples=25)
@given(st.integers(1, 20), st.integers(1, 6), st.integers(1, 9), st.integers(0, 99))
def test_every_fold_is_used_when_there_are_groups_enough_and_the_last_are_empty_otherwise(num_groups, num_strata, num_folds, seed):
    counts = counts_of(num_groups, num_strata, seed)
    folds = deal(counts, np.ones(num_strata), num_folds=num_folds, seed=seed)
    assert folds.shape == (num_groups,)
    assert sorted(set(folds.tolist())) == list(range(min(num_groups, num_folds)))


@settings(max_examples=10)
@given(st.integers(2, 20), st.integers(0, 99))
def test_the_order_of_the_strata_and_the_unit_they_are_counted_in_do_not_matter(num_groups, seed):
    counts = counts_of(num_groups, 4, seed)
    folds = deal(counts, np.ones(4), num_folds=3, seed=seed)
    assert np.array_equal(deal(counts * np.array([1, 7, 3, 1]), np.ones(4), num_folds=3, seed=seed), folds)
    assert np.array_equal(deal(counts[:, [0, 3, 1, 2]], np.ones(4), num_folds=3, seed=seed), folds)


def test_many_groups_are_dealt_evenly_from_samples_of_partners(monkeypatch):
    monkeypatch.setattr(balance, "_MAX_ROUNDS", 1)
    found = strata(painted_cohort(400, seed=3))
    folds = deal(found.counts, found.weights, num_folds=5, seed=0)
    away = np.abs(deviations(found.counts, folds, num_folds=5))
    kinds = np.array([kind for _, kind, _ in found.names])
    assert away[kinds != "cell"].max() < 0.03


def test_groups_of_nothing_are_refused_and_no_group_is_none():
    with pytest.raises(ValueError, match="something of every group"):
        deal(np.array([[1, 0], [0, 1]]), np.ones(2), num_folds=2, seed=0)
    assert deal(np.zeros((0, 3), int), np.ones(3), num_folds=2, seed=0).shape == (0,)


def test_one_group_or_one_fold_needs_no_search(monkeypatch):
    monkeypatch.setattr(balance, "stream", lambda *_: pytest.fail("drawn by lot"))
    counts = np.array([[3, 1], [2, 0]])
    assert balance.deal(counts, np.ones(2), num_folds=1, seed=0).tolist() == [0, 0]
    assert balance.deal(counts[:1], np.ones(2), num_folds=4, seed=0).tolist() == [0]
