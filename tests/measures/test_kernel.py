from __future__ import annotations

import itertools

import numpy as np
import pytest

from hdgan.measures.kernel import kernel_distance, squared_discrepancy


def plain(x, y):
    """Pair by pair, as arXiv 1801.01401 writes it."""

    def k(a, b):
        return (float(a @ b) / len(a) + 1) ** 3

    def within(s):
        return sum(k(s[i], s[j]) for i, j in itertools.permutations(range(len(s)), 2)) / (len(s) * (len(s) - 1))

    return within(x) + within(y) - 2 * sum(k(a, b) for a in x for b in y) / (len(x) * len(y))


def test_it_is_the_published_estimate():
    r = np.random.default_rng(0)
    x, y = r.normal(size=(9, 4)), r.normal(1, 2, size=(7, 4))
    assert squared_discrepancy(x, y) == pytest.approx(plain(x, y), rel=1e-12)


def test_two_points_have_a_closed_form():
    # All items of a set equal: (1 + 1)^3 + (4 + 1)^3 - 2 (2 + 1)^3 with one feature, 1 against 2
    assert squared_discrepancy(np.full((3, 1), 1.0), np.full((5, 1), 2.0)) == pytest.approx(8 + 125 - 54)


def test_one_source_gives_nothing_on_average_though_single_estimates_scatter_to_both_sides():
    r = np.random.default_rng(1)
    estimates = np.array([squared_discrepancy(*r.normal(size=(2, 40, 5))) for _ in range(300)])
    assert abs(estimates.mean()) < 3 * estimates.std() / np.sqrt(300)
    assert (estimates < 0).mean() > 0.2


def test_another_source_stands_out_from_the_spread_and_equal_seeds_give_equal_numbers():
    r = np.random.default_rng(2)
    a, b, far = r.normal(size=(200, 6)), r.normal(size=(200, 6)), r.normal(0.7, 1, size=(200, 6))
    near, away = kernel_distance(a, b, num_subsets=20), kernel_distance(a, far, num_subsets=20)
    assert away.mean > 5 * away.spread > 0
    assert abs(near.mean) < 0.2 * away.mean
    assert kernel_distance(a, far, num_subsets=20) == away
    assert kernel_distance(a, far, num_subsets=20, seed=1) != away


def test_sets_too_small_to_be_halved_are_refused():
    with pytest.raises(ValueError, match="at least 4"):
        kernel_distance(np.zeros((3, 2)), np.zeros((9, 2)))
