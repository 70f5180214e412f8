from __future__ import annotations

import numpy as np
import pytest

from hdgan.testing.degradations import WAYS, drop, paste, shuffle


@pytest.fixture(scope="module")
def images():
    smooth = np.random.default_rng(0).normal(128, 30, (6, 4, 4, 3)).repeat(8, axis=1).repeat(8, axis=2)
    return np.clip(smooth + np.random.default_rng(1).normal(0, 5, smooth.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("way", WAYS)
def test_each_way_gives_as_many_images_and_leaves_those_given_alone(way, images):
    function, strengths = WAYS[way]
    before = images.copy()
    for strength in strengths:
        worse = function(images, strength)
        assert (worse.shape, worse.dtype) == (images.shape, np.uint8)
    assert not np.array_equal(worse, images)
    assert np.array_equal(images, before)


def test_shuffled_blocks_are_the_same_blocks_at_other_places(images):
    shuffled = shuffle(images, 1.0)
    assert sorted(shuffled[0].ravel().tolist()) == sorted(images[0].ravel().tolist())
    assert np.array_equal(shuffle(images, 0.0), images)


def test_of_dropped_images_none_is_new_and_the_lightest_are_gone(images):
    kept = drop(images, 0.5)
    assert len(np.unique(kept, axis=0)) == 3
    assert kept.mean(axis=(1, 2, 3)).max() < images.mean(axis=(1, 2, 3)).max()


def test_a_pasted_square_has_the_share_that_was_asked_for(images):
    changed = (paste(images, 0.25) != images).any(axis=3).mean(axis=(1, 2))
    assert changed.max() <= 0.25
    assert changed.max() > 0.2
