from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdgan.downstream.augment import View, apply_view, draw_view
from hdgan.downstream.config import SegmenterConfig
from hdgan.randomness import stream

STILL = View((0.0, 0.0), 0.0, False, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), 0.0, 0.0, 0)
PLAIN = SegmenterConfig(stain=0, blur_px=0, noise=0)


def _pair(size, seed=0):
    """An image whose red channel says the label: 60 per class."""
    rng = np.random.default_rng(seed)
    mask = np.kron(rng.integers(0, 4, (size // 8, size // 8)), np.ones((8, 8))).astype(np.uint8)
    image = np.stack([mask * 60, mask * 20, 255 - mask * 30], axis=-1).astype(np.uint8)
    return image, mask


def test_a_view_that_does_nothing_gives_the_pixels():
    image, mask = _pair(32)
    pixels, labels = apply_view(STILL, image, mask, crop_px=32)
    np.testing.assert_allclose(pixels, image / 255, atol=1e-6)
    np.testing.assert_array_equal(labels, mask)


@given(seed=st.integers(0, 10_000), size=st.sampled_from([32, 40, 56]))
@settings(max_examples=40)
def test_labels_stay_on_their_pixels_whatever_the_turn(seed, size):
    image, mask = _pair(size, seed)
    pixels, labels = apply_view(draw_view(stream(seed, "test"), PLAIN), image, mask, crop_px=32)
    nearest = np.rint(pixels[..., 0] * 255 / 60)
    inside = np.abs(pixels[..., 0] * 255 - nearest * 60) < 1e-2  # away from class borders, where colours mix
    assert inside.mean() > 0.4
    assert (nearest[inside] == labels[inside]).mean() > 0.99


@pytest.mark.parametrize("quarters", range(4))
def test_a_quarter_turn_moves_pixels_without_mixing_them(quarters):
    image, mask = _pair(32, 3)
    pixels, labels = apply_view(replace(STILL, angle=quarters * math.pi / 2), image, mask, crop_px=32)
    np.testing.assert_array_equal(labels, np.rot90(mask, -quarters))
    np.testing.assert_allclose(pixels, np.rot90(image, -quarters) / 255, atol=1e-6)


def test_small_turns_agree_with_the_exact_quarter_turn():
    """The interpolating path at 90 degrees less a hair is the path that only moves pixels: same sense of rotation, same centre."""
    image, mask = _pair(48, 5)
    centred = replace(STILL, centre=(0.5, 0.5))
    exact = apply_view(replace(centred, angle=math.pi / 2), image, mask, crop_px=32)[0]
    near = apply_view(replace(centred, angle=math.pi / 2 - 1e-6), image, mask, crop_px=32)[0]
    np.testing.assert_allclose(near, exact, atol=1e-3)


def test_no_pixel_is_invented_where_a_turned_crop_does_not_fit():
    image, mask = _pair(32, 7)
    pixels, _ = apply_view(replace(STILL, angle=0.7), image, mask, crop_px=32)
    assert set(np.rint(pixels * 255).astype(int).ravel()) <= set(image.ravel().tolist())


def test_stain_jitter_changes_colour_but_keeps_white_white_without_offset():
    image = np.full((32, 32, 3), 255, np.uint8)
    image[:16] = (150, 60, 140)
    pixels, _ = apply_view(replace(STILL, gain=(1.3, 1.3, 1.3)), image, np.zeros((32, 32), np.uint8), crop_px=32)
    assert (pixels[:16] < image[:16] / 255 - 0.02).all()
    np.testing.assert_allclose(pixels[16:], 1, atol=1e-6)


def test_the_same_counter_draws_the_same_view():
    config = SegmenterConfig()
    assert draw_view(stream(1, "a", 5), config) == draw_view(stream(1, "a", 5), config)
    assert draw_view(stream(1, "a", 5), config) != draw_view(stream(1, "a", 6), config)
