from __future__ import annotations

import numpy as np
import pytest

from hdgan.measures import neighbours
from hdgan.measures.neighbours import manifolds, reaches


def plain(real, fake):
    """Every distance at once, as arXiv 1904.06991 and 2002.09797 write it."""

    def apart(a, b):
        return np.linalg.norm(a[:, None] - b[None], axis=-1)

    def reach(s, k):
        return np.sort(apart(s, s), axis=1)[:, k]  # column 0 is the item itself

    between = apart(real, fake)
    return (
        (between <= reach(real, 3)[:, None]).any(axis=0).mean(),
        (between <= reach(fake, 3)[None]).any(axis=1).mean(),
        (between <= reach(real, 5)[:, None]).sum() / (5 * len(fake)),
        (between <= reach(real, 5)[:, None]).any(axis=1).mean(),
    )


@pytest.mark.parametrize("block", [1 << 22, 130])
def test_the_shares_are_the_published_ones_whatever_is_held_at_once(block, monkeypatch):
    monkeypatch.setattr(neighbours, "_BLOCK", block)
    r = np.random.default_rng(0)
    real, fake = r.normal(size=(60, 3)), r.normal(0.5, 1.2, size=(45, 3))
    found = manifolds(real, fake)
    assert (found.precision, found.recall, found.density, found.coverage) == pytest.approx(plain(real, fake))
    assert 0 < found.recall < 1


def test_reach_along_a_line_is_counted_by_hand():
    line = np.array([[0.0], [1.0], [3.0], [7.0]])
    assert reaches(line, 1).tolist() == [1, 1, 4, 16]
    assert reaches(line, 3).tolist() == [49, 36, 16, 49]


def test_samples_that_are_the_real_images_are_plausible_and_complete():
    real = np.random.default_rng(0).normal(size=(50, 4))
    found = manifolds(real, real)
    assert (found.precision, found.recall, found.coverage) == (1, 1, 1)


def test_a_lost_mode_is_told_by_recall_and_coverage_and_not_by_precision():
    r = np.random.default_rng(0)
    real = np.concatenate([r.normal(size=(100, 2)), r.normal(30, 1, size=(100, 2))])
    found = manifolds(real, r.normal(size=(200, 2)))
    assert found.precision > 0.9
    assert found.recall == pytest.approx(0.5, abs=0.05)
    assert found.coverage == pytest.approx(0.5, abs=0.05)


def test_an_outlier_among_the_real_images_lifts_precision_and_hardly_density():
    r = np.random.default_rng(0)
    real = np.concatenate([r.normal(size=(100, 2)), [[40.0, 40.0]]])  # its reach covers all of the others
    fake = r.normal(20, 1, size=(100, 2))
    found = manifolds(real, fake)
    assert found.precision == 1
    assert found.density == pytest.approx(0.2)


def test_distances_stay_exact_far_from_the_origin():
    points = np.random.default_rng(0).normal(size=(30, 3))
    assert reaches(points + 1e6, 2) == pytest.approx(reaches(points, 2), rel=1e-6)


def test_fewer_items_than_neighbours_are_refused():
    with pytest.raises(ValueError, match="no 3 neighbours"):
        reaches(np.zeros((3, 2)), 3)
