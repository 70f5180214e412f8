from __future__ import annotations

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from hdgan.measures.discriminant import discriminant


def clouds(num=400, channels=6, seed=0):
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, 3, num)
    mix = draw.standard_normal((channels, channels))
    return draw.standard_normal((num, channels)) @ mix + 1.5 * draw.standard_normal((3, channels))[labels], labels


def test_labels_are_those_of_another_program():
    features, labels = clouds()
    shares = np.bincount(labels) / len(labels)  # theirs weighs each class's covariance by its prior, ours by its pixels
    ours = discriminant(features, labels, shares=shares, shrinkage=1e-9).labels(features)
    theirs = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=None, priors=shares).fit(features, labels).predict(features)
    assert np.array_equal(ours, theirs)


def test_shrinkage_acts_on_standardised_features_so_units_do_not_matter():
    features, labels = clouds()
    shares = np.full(3, 1 / 3)
    plain, scaled = (discriminant(f, labels, shares=shares, shrinkage=0.3) for f in (features, features * 1000.0))
    assert np.array_equal(plain.labels(features), scaled.labels(features * 1000.0))


def test_more_features_than_pixels_and_a_dead_one_are_no_obstacle():
    features, labels = clouds(num=30, channels=80)
    features[:, 3] = 7.0
    found = discriminant(features, labels, shares=np.full(3, 1 / 3))
    assert np.isfinite(found.weight).all()
    assert (found.labels(features) == labels).mean() > 0.8


def test_a_class_that_was_never_seen_is_never_found():
    features, labels = clouds()
    found = discriminant(features, labels * 2, shares=np.full(5, 0.2))
    assert set(found.labels(features)) <= {0, 2, 4}


def test_a_rarer_class_is_said_less_often():
    features, labels = clouds()
    counts = [(discriminant(features, labels, shares=np.array([1 - 2 * s, s, s])).labels(features) == 1).sum() for s in (1 / 3, 0.1, 0.001)]
    assert counts[0] > counts[1] > counts[2]


def test_one_class_alone_is_refused():
    with pytest.raises(ValueError, match="two classes"):
        discriminant(np.ones((4, 2)), np.zeros(4, int), shares=np.ones(2))
