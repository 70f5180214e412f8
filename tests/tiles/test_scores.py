from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFilter

from hdgan.testing.painter import paint as paint_kidney
from hdgan.tiles.background import is_background, white_point
from hdgan.tiles.scores import _window_sums, blur_of, compartment_of, dark_level, is_black, is_pen, luma, measure_detail


@pytest.fixture(scope="module")
def kidneys():
    """One painted scene in four stains, 1024 px at 0.5 um/px: name to pixels."""
    return {
        stain: paint_kidney(3, size_px=1024, mpp=0.5, stain=stain, centre="north", patient="p").image for stain in ("he", "pas", "jones")
    }


def blurred(pixels, sigma_px):
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(sigma_px)))


def test_blur_grows_with_the_width_of_the_blur_in_every_stain(kidneys):
    for pixels in kidneys.values():
        scores = [measure_detail(blurred(pixels, sigma_um / 0.5), mpp=0.5, dark=0).blur for sigma_um in (0, 1, 2, 4)]
        assert scores == sorted(scores)
        assert scores[0] < 0.4
        assert scores[3] > 0.85


def test_contrast_divides_out_of_blur(kidneys):
    grey = luma(kidneys["he"])[::4, ::4].astype(float)
    pale = (220 + (grey - 220) * 0.5).round().astype(np.uint8)
    assert blur_of(pale) == pytest.approx(blur_of(grey.astype(np.uint8)), abs=0.03)


def test_blur_does_not_depend_on_the_scale_of_the_tile(kidneys):
    fine = blurred(kidneys["he"], 4)
    halved = fine.reshape(512, 2, 512, 2, 3).mean(axis=(1, 3)).round().astype(np.uint8)
    assert measure_detail(fine, mpp=0.5, dark=0).blur == pytest.approx(measure_detail(halved, mpp=1.0, dark=0).blur, abs=0.02)


def test_blur_equals_its_definition():
    grey = np.random.default_rng(0).integers(0, 256, (16, 24), dtype=np.uint8)
    fine, coarse = [], []
    for y in range(0, 16, 4):
        for x in range(0, 24, 4):
            block = grey[y : y + 4, x : x + 4].astype(float)
            means = block.reshape(2, 2, 2, 2).mean(axis=(1, 3))
            fine.append(((block - means.repeat(2, 0).repeat(2, 1)) ** 2).mean())
            coarse.append(((means - means.mean()) ** 2).mean())
    expected = np.clip(2 * (1 - np.sqrt(np.mean(fine) / np.mean(coarse))), 0, 1)
    assert blur_of(grey) == pytest.approx(expected)


def test_where_nothing_is_to_be_seen_there_is_no_blur_score():
    assert blur_of(np.full((64, 64), 240, np.uint8)) is None
    assert blur_of(np.zeros((7, 64), np.uint8)) is None
    detail = measure_detail(np.zeros((64, 64, 3), np.uint8), mpp=4.0, dark=10)
    assert (detail.blur, detail.compartment) == (None, None)


def test_a_region_full_of_dark_spots_is_a_compartment_and_dark_lines_around_lumens_are_none():
    lumens = np.full((128, 128), 200, np.uint8)
    lumens[::32] = 60
    lumens[:, ::32] = 60
    tuft = lumens.copy()
    tuft[30:94, 30:94][::2, ::2] = 60
    scores = [compartment_of(grey, dark=80) for grey in (lumens, tuft, np.full((128, 128), 200, np.uint8))]
    assert scores[0] < 0.8
    assert scores[1] == 1.0
    assert scores[2] == 0.0


def test_the_compartment_score_equals_its_definition():
    rng = np.random.default_rng(1)
    grey = np.where(rng.random((80, 76)) < np.linspace(0, 0.4, 76), 50, 200).astype(np.uint8)
    filled = np.array([[(grey[y : y + 8, x : x + 8] <= 50).mean() > 0.15 for x in range(69)] for y in range(73)])
    expected = max(filled[y : y + 57, x : x + 57].mean() for y in range(17) for x in range(13))
    assert compartment_of(grey, dark=50) == pytest.approx(expected)


def test_a_tile_smaller_than_a_region_or_a_spot_is_one_region():
    assert compartment_of(np.zeros((5, 5), np.uint8), dark=0) == 1.0
    assert compartment_of(np.zeros((20, 30), np.uint8), dark=0) == 1.0


def test_the_dark_level_is_the_darkest_fifth_of_the_tissue():
    counts = np.zeros(256, np.int64)
    assert dark_level(counts) == 0
    counts[50:100] = 1
    assert dark_level(counts) == 59
    counts[:50] = 1
    assert dark_level(counts) == 19


def test_marker_ink_is_found_and_tissue_of_three_stains_is_not_ink(kidneys):
    for stain, pixels in kidneys.items():
        small = np.asarray(Image.fromarray(pixels).reduce(16))
        assert is_pen(small).mean() < 0.01, stain
        for ink in ((20, 110, 60), (30, 60, 170), (0, 140, 140)):
            marked = small.copy()
            marked[20:40] = ink
            found = is_pen(marked)
            assert found[21:39].all()
            assert found[:19].mean() < 0.01


def test_black_is_told_from_dark_tissue(kidneys):
    for pixels in kidneys.values():
        small = np.asarray(Image.fromarray(pixels).reduce(16)).copy()
        assert is_black(small).mean() < 0.01
        small[:10], small[10:20] = 0, (40, 38, 42)
        assert is_black(small)[:20].all()
    assert not is_black(np.full((4, 4, 3), (70, 20, 90), np.uint8)).any()


def test_glass_is_neither_ink_nor_black():
    pixels = (np.array([243, 240, 245]) + np.random.default_rng(0).integers(-3, 4, (50, 50, 3))).astype(np.uint8)
    assert not is_pen(pixels).any()
    assert not is_black(pixels).any()
    assert is_background(pixels, white=white_point(pixels), white_distance=8).all()


@pytest.mark.parametrize("edge", [1, 2, 7, 8, 15, 16, 57, 300])
def test_sums_over_windows_equal_those_of_every_window(edge):
    mask = np.random.default_rng(edge).random((edge + 3, edge + 20)) < 0.8
    mask[:edge, :edge] = True  # the largest sum there is
    plain = np.lib.stride_tricks.sliding_window_view(mask, (edge, edge)).sum(axis=(2, 3))
    assert np.array_equal(_window_sums(mask, edge), plain)
