from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta

from hdgan.measures.intervals import binomial_interval


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
