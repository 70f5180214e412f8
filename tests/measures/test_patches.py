from __future__ import annotations

import numpy as np
import pytest

from hdgan.measures.patches import patch_distance, shrunk, stain_spread


@pytest.fixture
def noise():
    return np.random.default_rng(0).normal(128, 20, size=(2, 40, 3, 32, 32))


def test_a_set_has_no_distance_to_itself_and_a_small_one_to_another_draw(noise):
    assert patch_distance(noise[0], noise[0], num_patches=2000) == 0
    assert 0 < patch_distance(noise[0], noise[1], num_patches=2000) < 1.5


def test_other_texture_of_equal_mean_and_variance_is_told_apart(noise):
    # Squares of 4 px of one value each: every pixel's distribution stays what it was.
    smooth = noise[1][..., ::4, ::4].repeat(4, axis=2).repeat(4, axis=3)
    assert patch_distance(smooth, noise[0], num_patches=2000) > 2 * patch_distance(noise[1], noise[0], num_patches=2000)


def test_a_shift_of_all_pixels_is_measured_in_grey_levels(noise):
    # A constant shift of s moves the projection on direction d by s * sum(d), whose mean size is s * sqrt(147) * sqrt(2 / pi) / sqrt(147).
    assert patch_distance(noise[0] + 10, noise[0], num_patches=2000) == pytest.approx(10 * np.sqrt(2 / np.pi), rel=0.25)


def test_images_smaller_than_a_patch_are_refused(noise):
    with pytest.raises(ValueError, match="smaller than a patch"):
        patch_distance(noise[0][..., :6], noise[0])


def test_shrinking_takes_the_mean_of_each_square():
    image = np.arange(16.0).reshape(1, 1, 4, 4)
    assert shrunk(image, 2).tolist() == [[[[2.5, 4.5], [10.5, 12.5]]]]


def test_images_of_one_colour_have_no_spread_and_two_stains_have():
    grey = np.full((4, 3, 8, 8), 100.0)
    assert stain_spread(grey) == 0
    grey[:2] += 30
    assert stain_spread(grey) == pytest.approx(15)
