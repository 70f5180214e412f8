from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdgan.tiles import background
from hdgan.tiles.background import (
    density,
    is_background,
    is_background_plain,
    level_below,
    light_white,
    overview_mpp,
    shares,
    shares_of,
    to_lab,
    white_point,
)


def glass_with(tissue, *, glass=(241, 240, 242), share=0.5):
    """Noisy glass, the right part of it stained in colour `tissue` with texture."""
    rng = np.random.default_rng(0)
    pixels = np.array(glass) + rng.integers(-2, 3, (60, 100, 1))
    start = round(100 * (1 - share))
    pixels[:, start:] = np.array(tissue) + rng.integers(-6, 7, (60, 100 - start, 1))
    return np.clip(pixels, 0, 255).astype(np.uint8)


def found_background(pixels):
    return is_background(pixels, white=white_point(pixels), white_distance=8)


STAINS = {
    "haematoxylin": (120, 90, 160),
    "PAS": (200, 110, 180),
    "silver, grey": (150, 150, 150),
    "pale silver": (205, 205, 205),
    "trichrome": (110, 140, 190),
}


@pytest.mark.parametrize("tissue", STAINS.values(), ids=STAINS)
@pytest.mark.parametrize("glass", [(243, 243, 243), (216, 208, 221), (250, 248, 230)], ids=["neutral", "pinkish", "yellowish"])
def test_tissue_of_any_stain_is_told_from_glass_of_any_tint(tissue, glass):
    tissue = tuple(min(t, g - 32) for t, g in zip(tissue, glass, strict=True)) if min(tissue) > 180 else tissue
    mask = found_background(glass_with(tissue, glass=glass))
    assert mask[:, :50].mean() > 0.99
    assert mask[:, 50:].mean() < 0.02


def test_a_slide_that_is_all_tissue_has_no_background():
    assert not found_background(glass_with((180, 110, 160), share=1.0)).any()


def test_what_was_never_scanned_counts_as_background_and_not_as_the_white_of_glass():
    pixels = glass_with((180, 110, 160), glass=(228, 222, 230))
    pixels[:20] = 255
    pixels[20:30] = 0
    assert np.abs(white_point(pixels).astype(int) - (229, 223, 231)).max() <= 2
    mask = found_background(pixels)
    assert mask[:30].all()
    assert not mask[30:, 50:].any()


def test_lab_agrees_with_published_values():
    # sRGB primaries and greys, D65; http://www.brucelindbloom.com (CIE standard constants)
    rgb = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [119, 119, 119], [0, 0, 0]], np.uint8)
    lab = [[53.24, 80.09, 67.20], [87.73, -86.18, 83.18], [32.30, 79.19, -107.86], [100, 0, 0], [50.03, 0, 0], [0, 0, 0]]
    assert to_lab(rgb) == pytest.approx(np.array(lab), abs=0.03)


def test_a_colour_is_background_up_to_the_distance_and_no_further():
    greys = np.arange(256, dtype=np.uint8)[None, :, None].repeat(3, axis=2)
    white = np.array([240, 240, 240], np.uint8)
    mask = is_background(greys, white=white, white_distance=8)[0]
    lightness = to_lab(greys)[0, :, 0]
    away = lightness[240] - lightness
    assert np.array_equal(mask, (away < 8) | (lightness < 5))


@settings(max_examples=50)
@given(st.integers(0, 999), st.integers(1, 20), st.integers(1, 20), st.sampled_from([0, 5, 1100]))
def test_shares_equal_the_means_of_the_boxes_be_they_few_or_many(seed, width, height, num):
    rng = np.random.default_rng(seed)
    mask = rng.random((height, width)) < 0.4
    left, top = rng.integers(0, width, num), rng.integers(0, height, num)
    right, bottom = left + rng.integers(1, 6, num), top + rng.integers(1, 6, num)
    expected = [mask[t:b, l:r].mean() for l, t, r, b in zip(left, top, right, bottom, strict=True)]
    assert shares(mask, np.stack([left, top, right, bottom], axis=1).astype(float)) == pytest.approx(expected)


@settings(max_examples=30)
@given(st.integers(0, 999), st.integers(1, 12), st.integers(1, 40), st.integers(1, 9))
def test_shares_of_rows_made_in_bands_are_those_of_the_whole_mask(seed, width, height, num_rows):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 9, (height, width))
    corners = rng.uniform(-3, 1.2, (7, 2)) * (width, height)
    boxes = np.concatenate([corners, corners + rng.uniform(0, 1.5, (7, 2)) * (width, height)], axis=1)

    def is_peak(rows):
        """Larger than the values above and below."""
        padded = np.pad(rows, ((1, 1), (0, 0)), mode="edge")
        return rows * 2 > padded[:-2] + padded[2:]

    whole = shares(is_peak(values), boxes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(background, "_PX_AT_ONCE", num_rows * width)
        patch.setattr(background, "_COUNTED_PX", 0)
        assert np.array_equal(shares_of(values, is_peak, boxes, margin_px=1), whole)


@settings(max_examples=20)
@given(st.integers(0, 999), st.integers(1, 300))
def test_the_white_point_is_the_same_counted_in_bands_and_without_what_was_not_seen(seed, num_px):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(180, 256, (40, 30, 3), dtype=np.uint8)
    unseen = rng.random((40, 30)) < 0.3
    whole = light_white(pixels[~unseen])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(background, "_PX_AT_ONCE", num_px)
        assert np.array_equal(light_white(pixels, unseen=unseen), whole)


def test_a_box_thinner_than_a_pixel_takes_the_one_it_lies_in():
    mask = np.array([[False, True]])
    assert shares(mask, np.array([[1.0, 0.2, 1.1, 0.3], [5.0, 5.0, 6.0, 6.0]])) == pytest.approx([1.0, 1.0])


def test_the_overview_is_fine_enough_for_small_tiles_and_never_finer_than_the_slide():
    assert overview_mpp(1024.0, slide_mpp=0.25) == 8.0
    assert overview_mpp(256.0, slide_mpp=0.5) == 4.0
    assert overview_mpp(32.0, slide_mpp=1.0) == 1.0


@settings(max_examples=60)
@given(st.tuples(*[st.integers(0, 255)] * 3), st.floats(0.1, 60), st.none() | st.floats(0.001, 1), st.integers(0, 999))
def test_the_fast_rule_equals_the_plain_one(white, white_distance, min_density, seed):
    rng = np.random.default_rng(seed)
    near = np.array(white) + rng.integers(-9, 10, (150, 20, 3))
    pixels = np.concatenate([np.clip(near, 0, 255), rng.integers(0, 256, (40, 20, 3)), np.full((2, 20, 3), 255)]).astype(np.uint8)
    rule = {"white": np.array(white, np.uint8), "white_distance": white_distance, "min_density": min_density}
    assert np.array_equal(is_background(pixels, **rule), is_background_plain(pixels, **rule))


def test_density_finds_tissue_so_pale_that_its_colour_is_that_of_glass():
    pixels = glass_with((229, 228, 229), glass=(243, 243, 243))
    rule = {"white": white_point(pixels), "white_distance": 8}
    found = is_background(pixels, **rule, min_density=0.04)
    assert is_background(pixels, **rule)[:, 50:].mean() > 0.5
    assert found[:, 50:].mean() < 0.25
    assert found[:, :50].all()


def test_density_is_that_of_beer_and_lambert():
    white = np.array([200, 100, 50], np.uint8)
    assert density(np.array([[20, 10, 5], [200, 100, 50], [255, 255, 255]], np.uint8), white=white) == pytest.approx([3**0.5, 0, 0])


@given(st.integers(1, 120), st.floats(0, 1), st.integers(0, 250), st.integers(0, 2**32 - 1))
@settings(max_examples=200)
def test_a_level_below_which_a_share_lies_is_that_of_the_sorted_levels(num, share, lowest, seed):
    levels = np.random.default_rng(seed).integers(lowest, 256, num).astype(np.uint8)
    assert level_below(np.bincount(levels, minlength=256), share) == pytest.approx(np.quantile(levels, share), abs=1e-9)


@given(st.integers(185, 250), st.integers(0, 2**32 - 1))
@settings(max_examples=60)
def test_the_white_point_is_a_percentile_of_the_light_grey_pixels(lowest, seed):
    pixels = np.random.default_rng(seed).integers(lowest, 256, (40, 30, 3)).astype(np.uint8)
    flat = pixels.reshape(-1, 3)
    light = flat[(flat.min(axis=1) > 190) & (np.ptp(flat, axis=1) < 30) & (flat.min(axis=1) < 255)]
    assert len(light) > 100
    assert np.array_equal(white_point(pixels), np.percentile(light, 98, axis=0).round())
