from __future__ import annotations

import os
import re
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from hdgan.slides.reader import open_slide
from hdgan.slides.resample import sampled_blocks
from hdgan.tiles.background import overview_mpp
from hdgan.tiles.config import TilesConfig
from hdgan.tiles.overview import Overview, take_overview
from hdgan.tiles.suspicion import block_gaps, suspicion
from tests.slides.painting import halved, paint

DATA = os.environ.get("HDGAN_DATA")
BOUND = TilesConfig.model_fields["max_disagreement"].default
RECIPE = {"mpp": 2.0, "stored_px": 128, "slide_mpp": 0.5}
"""How recipes/kidney_pas.toml cuts biopsy-a."""


def overview_of(pixels):
    small = halved(halved(pixels))
    return Overview(small, 4.0, np.zeros(small.shape[:2], bool))


def judged(tile, overview, xy=(0, 0)):
    return suspicion(tile, overview, xy, level0_px=len(tile), most=BOUND)


@given(st.integers(1, 90), st.integers(1, 90), st.integers(0, 2**32 - 1))
@settings(max_examples=60)
def test_means_and_spreads_are_those_of_the_blocks(height, width, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    num = 1 + seed % min(height, width)
    means, spread = sampled_blocks(pixels, num)
    stride = max(1, min(height, width) // (num * 32))
    sample = pixels[::stride, ::stride].astype(int)
    for row in range(num):
        for column in range(num):
            ends = [((i + 1) * edge // num) for i, edge in ((row, sample.shape[0]), (column, sample.shape[1]))]
            block = sample[row * sample.shape[0] // num : ends[0], column * sample.shape[1] // num : ends[1]]
            assert np.allclose(means[row, column], block.mean(axis=(0, 1)))
            assert np.array_equal(spread[row, column], np.ptp(block, axis=(0, 1)))


@pytest.mark.parametrize("xy", [(0, 0), (64, 64), (129, 67), (384, 256)])
def test_a_tile_agrees_with_its_own_place(xy):
    pixels = paint()
    x, y = xy
    tile = pixels[y : y + 256, x : x + 256]
    assert judged(tile, overview_of(pixels), xy) is None
    assert block_gaps(tile, overview_of(pixels), xy, level0_px=256)[0].max() < 12


def test_a_tile_that_reaches_past_the_overview_is_compared_inside():
    pixels = paint(643, 515)  # the overview has 160 x 128 px, for 640 x 512
    assert judged(pixels[259:515, 387:643], overview_of(pixels), (387, 259)) is None


@pytest.mark.parametrize("colour", [(255, 255, 255), (0, 0, 0), (128, 128, 128), (241, 240, 242)])
def test_one_wrong_block_of_a_large_tile_is_suspect(colour):
    pixels = paint(2048, 2048, tissue=(0, 0, 1, 1))
    tile = pixels.copy()
    tile[1024:1088, 512:576] = colour
    what, said = judged(tile, overview_of(pixels))
    assert what == "blank"
    x, y = (int(number) for number in re.search(r"at x (\d+), y (\d+) \(level-0 px\)", said).groups())
    assert 512 <= x < 576
    assert 1024 <= y < 1088


def test_pale_tissue_that_reads_blank_is_suspect_though_it_differs_by_less_than_the_bound():
    pixels = np.full((512, 512, 3), 215, np.uint8) + np.random.default_rng(0).integers(0, 8, (512, 512, 3), dtype=np.uint8)
    assert judged(np.full_like(pixels, 243), overview_of(pixels))[0] == "blank"
    assert judged(pixels, overview_of(pixels)) is None


def test_an_overview_a_pixel_off_makes_no_edge_of_the_scan_suspect():
    pixels = paint(1024, 1024, tissue=(0, 0, 1, 1))
    pixels[:, 500:] = 255
    overview = overview_of(pixels)
    off = Overview(np.roll(overview.pixels, (1, 1), (0, 1)), 4.0, overview.is_unreadable)
    for x in (200, 244, 256):
        assert judged(pixels[256:768, x : x + 512], off, (x, 256)) is None


def test_foreign_tissue_is_suspect():
    pixels = paint(512, 512, tissue=(0, 0, 1, 1))
    wrong = pixels.copy()
    wrong[128:256, 128:256] = 255 - wrong[128:256, 128:256]
    assert judged(wrong, overview_of(pixels))[0] == "disagrees"


def test_blank_glass_and_the_edge_of_the_scan_are_not_suspect():
    pixels = paint(512, 512)
    pixels[:, 300:] = 255
    assert judged(pixels, overview_of(pixels)) is None
    assert judged(pixels[100:356, 200:456], overview_of(pixels), (200, 100)) is None
    white = np.full((256, 256, 3), 255, np.uint8)
    assert judged(white, overview_of(white)) is None


@pytest.mark.skipif(not DATA, reason="HDGAN_DATA is not set")
def test_no_tile_of_biopsy_a_is_suspect_even_with_a_treated_overview():
    """The margin that docs/formats/tiles.md states."""

    def sharpened(pixels):
        return np.asarray(Image.fromarray(pixels).filter(ImageFilter.UnsharpMask(2, 150, 0)))

    def shifted(pixels):
        return np.roll(pixels, (1, 1), (0, 1))

    with closing(open_slide(Path(DATA) / "kidney" / "slides" / "biopsy-a.tif", mpp_override=RECIPE["slide_mpp"])) as slide:
        edge = round(RECIPE["stored_px"] * RECIPE["mpp"] / RECIPE["slide_mpp"])
        step = overview_mpp(edge * RECIPE["slide_mpp"], slide_mpp=RECIPE["slide_mpp"]) / RECIPE["slide_mpp"]
        overview = take_overview(slide, step_px=step)
        views = {"as it is": overview.pixels, "sharpened": sharpened(overview.pixels), "shifted": shifted(overview.pixels)}
        worst = dict.fromkeys(views, 0.0)
        width, height = slide.size_px
        for y in range(0, height - edge + 1, edge):
            for x in range(0, width - edge + 1, edge):
                tile = slide.read((x, y), level0_size=edge, out_px=RECIPE["stored_px"])
                for name, pixels in views.items():
                    view = Overview(pixels, step, overview.is_unreadable)
                    gap, is_blank = block_gaps(tile, view, (x, y), level0_px=edge)
                    worst[name] = max(worst[name], float(gap.max()))
                    assert suspicion(tile, view, (x, y), level0_px=edge, most=BOUND) is None
    assert worst["as it is"] < 4
    assert max(worst.values()) < BOUND
