from __future__ import annotations

import numpy as np
import pytest
from scipy import linalg

from hdgan.measures.frechet import frechet_distance, gaussian_distance


def draw(num=400, width=6, seed=0):
    r = np.random.default_rng(seed)
    return r.normal(size=(num, width)) @ r.normal(size=(width, width)) + r.normal(size=width)


def plain(a, b):
    """The formula as it is printed in arXiv 1706.08500, by the matrix root of the product."""
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = linalg.sqrtm(cov_a @ cov_b).real
    return np.square(a.mean(axis=0) - b.mean(axis=0)).sum() + np.trace(cov_a + cov_b - 2 * root)


def test_it_is_the_published_formula():
    a, b = draw(seed=0), draw(seed=1)
    assert frechet_distance(a, b) == pytest.approx(plain(a, b), rel=1e-9)


def test_equal_sets_are_at_no_distance_and_it_is_symmetric():
    a, b = draw(seed=0), draw(seed=1)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-9)


def test_normal_distributions_of_one_axis_each_have_a_closed_form():
    # (m - n)^2 + (s - t)^2, axis by axis
    mean_a, mean_b = np.array([0.0, 1.0]), np.array([3.0, 1.0])
    spread_a, spread_b = np.array([1.0, 2.0]), np.array([4.0, 2.5])
    found = gaussian_distance(mean_a, np.diag(spread_a**2), mean_b, np.diag(spread_b**2))
    assert found == pytest.approx(9 + 9 + 0.25)


def test_fewer_items_than_features_give_a_finite_distance_that_a_turn_does_not_change():
    a, b = draw(num=20, width=40, seed=0), draw(num=20, width=40, seed=1)
    turn = linalg.qr(np.random.default_rng(2).normal(size=(40, 40)))[0]
    assert frechet_distance(a, b) > 0
    assert frechet_distance(a @ turn, b @ turn) == pytest.approx(frechet_distance(a, b), rel=1e-6)


@pytest.mark.parametrize("bad", [np.zeros((1, 3)), np.full((5, 3), np.nan)])
def test_a_single_item_or_a_feature_that_is_not_finite_is_refused(bad):
    with pytest.raises(ValueError, match="at least 2, all finite"):
        frechet_distance(bad, draw(width=3))
