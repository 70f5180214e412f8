from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta

from hdgan.measures.intervals import binomial_interval, bootstrap, over_same_classes
from hdgan.measures.scores import occurring, score


def macro(matrix):
    return score(matrix).macro_dice


def missed_in_one_of(num, *, invented=0):
    """Of `num` images, all of whose two classes are right, one has a third that is missed; `invented` pixels of a fourth in another."""
    matrices = np.zeros((num, 4, 4), np.int64)
    matrices[:, 0, 0] = matrices[:, 1, 1] = 100
    matrices[0, 2, 0] = 10
    matrices[1, 0, 3] = invented
    return matrices


def test_resamples_that_lack_a_class_do_not_raise_the_macro_mean():
    matrices = missed_in_one_of(6)
    assert bootstrap(matrices, macro, seed=0)[1] > 0.99  # of two classes, both right
    low, high = bootstrap(matrices, over_same_classes(macro, matrices), seed=0)
    assert low < macro(matrices.sum(axis=0)) <= high < 2 / 3


def test_a_class_that_is_only_predicted_counts_in_every_resample_or_none():
    matrices = missed_in_one_of(6, invented=10)
    assert occurring(matrices.sum(axis=0)).tolist() == [[True, True, True, False], [True, True, True, True]]
    _, high = bootstrap(matrices, over_same_classes(macro, matrices), seed=0)
    assert high < 1 / 2


@settings(max_examples=30)
@given(st.integers(2, 12), st.integers(0, 3))
def test_where_every_image_shows_every_class_nothing_changes(num, seed):
    matrices = np.random.default_rng(seed).integers(1, 50, (num, 3, 3))
    assert bootstrap(matrices, over_same_classes(macro, matrices), seed=seed, num=50) == bootstrap(matrices, macro, seed=seed, num=50)


@settings(max_examples=40)
@given(st.integers(1, 200).flatmap(lambda num: st.tuples(st.integers(0, num), st.just(num))))
def test_the_ends_are_the_quantiles_of_the_beta_distribution(drawn):
    hits, num = drawn
    low, high = binomial_interval(hits, num)
    assert low == pytest.approx(beta.ppf(0.025, hits, num - hits + 1) if hits else 0.0, abs=1e-9)
    assert high == pytest.approx(beta.ppf(0.975, hits + 1, num - hits) if hits < num else 1.0, abs=1e-9)
    assert low <= hits / num <= high


def test_many_draws_narrow_it_and_impossible_counts_are_refused():
    assert binomial_interval(5000, 10_000)[0] > 0.49
    for hits, num in ((1, 0), (0, 0), (-1, 4), (5, 4)):
        with pytest.raises(ValueError, match="draws"):
            binomial_interval(hits, num)
