from __future__ import annotations

import numpy as np
import pytest

from hdgan.measures.embedder import Scale


def test_real_features_get_mean_0_and_about_spread_1_whatever_their_units():
    real = np.random.default_rng(0).normal([5, -300], [0.1, 40], size=(2000, 2))
    scaled = Scale(real)(real)
    assert scaled.mean(axis=0) == pytest.approx(0, abs=0.01)
    assert scaled.std(axis=0) == pytest.approx([1, 1], abs=0.1)


def test_near_the_mean_it_is_linear_and_far_out_it_grows_by_the_logarithm_and_keeps_the_order():
    real = np.array([[-1.0], [1.0]])
    near, far, farther = Scale(real)(np.array([[0.1], [100.0], [1000.0]])).ravel()
    assert near == pytest.approx(0.1, rel=1e-3)
    assert farther - far == pytest.approx(3 * np.log(10), rel=1e-3)


def test_a_feature_that_never_varies_keeps_its_own_unit():
    scale = Scale(np.full((5, 1), 7.0))
    assert scale(np.array([[7.0], [7.5]])).ravel() == pytest.approx([0, 0.5], abs=0.01)
