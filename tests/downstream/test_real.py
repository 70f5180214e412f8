from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from hdgan.downstream.config import RealConfig, RealSet
from hdgan.downstream.real import cut_real, is_white, open_regions
from hdgan.errors import BadInput, BadMask
from hdgan.labels import KIDNEY
from hdgan.slides.reader import open_slide

from .conftest import CLASSES, paint_slide


@pytest.fixture
def opened(slide):
    reader = open_slide(slide / "slide.png", mpp_override=1.0)
    yield reader
    reader.close()


def _tiles(opened, slide, config, *, regions="rings.png"):
    outlined = {"ring": open_regions(slide / regions, size_px=opened.size_px)}
    return list(cut_real(opened, outlined, config, classes=CLASSES))


def test_masks_are_the_painted_truth_at_the_asked_scale(opened, slide, real_config):
    image, regions = paint_slide()
    white = (image.min(axis=2) > 200) & (np.ptp(image, axis=2) < 25)
    assert white[:, 240:].all()
    tiles = [tile for tile in _tiles(opened, slide, real_config) if tile.part == "test"]
    assert len(tiles) == 4 * 4
    for tile in tiles:
        x, y = tile.xy
        share = regions[y : y + 64, x : x + 64].reshape(32, 2, 32, 2).mean((1, 3))
        clear = (share == 0) | (share == 1)  # at an exact half the rounding of the mean decides
        np.testing.assert_array_equal((tile.mask == 2)[clear], share[clear] > 0.5)
        assert tile.image.shape == (32, 32, 3)
    right = [tile for tile in tiles if tile.xy[0] == 192]
    assert all((tile.mask[:, 24:] == 0).all() and (tile.mask[:, :23] != 0).all() for tile in right)


def test_no_stored_pixel_leaves_its_block(opened, slide, real_config):
    for tile in _tiles(opened, slide, real_config):
        (first, end) = real_config.sets[tile.part].rows[0]
        assert first <= tile.xy[1]
        assert tile.xy[1] + 2 * len(tile.mask) <= end
        assert tile.xy[0] + 2 * len(tile.mask) <= 256


def test_sets_without_a_stride_share_no_pixel(opened, slide, real_config):
    seen = np.zeros((768, 256), int)
    for tile in _tiles(opened, slide, real_config):
        if tile.part != "oracle":
            seen[tile.xy[1] : tile.xy[1] + 64, tile.xy[0] : tile.xy[0] + 64] += 1
    assert seen.max() == 1


def test_tiles_that_are_mostly_white_are_left_out(opened, slide, real_config):
    strict = real_config.model_copy(update={"max_white": 0.2})
    corners = {tile.xy[0] for tile in _tiles(opened, slide, strict) if tile.part == "test"}
    assert corners == {0, 64, 128}  # the last column is a quarter white


def test_polygons_draw_the_same_as_a_mask_image(opened, slide, real_config):
    tiles = {tile.xy: tile for tile in _tiles(opened, slide, real_config, regions="square.geojson") if tile.part == "oracle"}
    tile = tiles[0, 0]
    expected = np.zeros((48, 48), bool)
    expected[8:40, 8:40] = True
    np.testing.assert_array_equal(tile.mask == 2, expected)
    assert all((other.mask != 2).all() for xy, other in tiles.items() if xy[1] >= 80)


def test_without_a_whitespace_class_white_is_background(opened, slide, real_config):
    plain = real_config.model_copy(update={"whitespace": None})
    assert all((tile.mask != 0).all() for tile in _tiles(opened, slide, plain))


def test_white_is_bright_and_without_colour():
    pixels = np.array([[[201, 201, 201], [200, 201, 201], [230, 254, 230], [230, 255, 230], [255, 255, 255]]], np.uint8)
    assert is_white(pixels).tolist() == [[True, False, True, False, True]]


def test_a_finer_scale_than_the_slide_has_is_refused(opened, slide, real_config):
    with pytest.raises(BadInput, match="coarser"):
        _tiles(opened, slide, real_config.model_copy(update={"mpp": 0.5}))


def test_a_block_below_the_slide_is_refused(opened, slide):
    config = RealConfig(tile_px=32, background="tissue", sets={"a": RealSet(rows=((0, 1000),))})
    with pytest.raises(BadInput, match="768 rows"):
        _tiles(opened, slide, config)


def test_an_unknown_class_is_refused(opened, slide, real_config):
    with pytest.raises(BadInput, match="no class 'stroma'"):
        _tiles(opened, slide, real_config.model_copy(update={"background": "stroma"}))


def test_regions_of_another_size_are_refused(slide):
    with pytest.raises(BadMask, match="256 x 768 px, its slide 100 x 100"):
        open_regions(slide / "rings.png", size_px=(100, 100))


@pytest.mark.skipif("HDGAN_DATA" not in os.environ, reason="HDGAN_DATA is not set")
def test_mask_and_polygons_of_the_real_slide_agree():
    slides = Path(os.environ["HDGAN_DATA"]) / "kidney" / "slides"
    reader = open_slide(slides / "biopsy-a.tif")
    config = RealConfig(tile_px=128, sets={"top": RealSet(rows=((0, 1024),))})
    masks = []
    for name in ("biopsy-a.glomerulus.png", "biopsy-a.geojson"):
        outlined = {"glomerulus": open_regions(slides / name, size_px=reader.size_px)}
        masks.append(np.stack([tile.mask for tile in cut_real(reader, outlined, config, classes=KIDNEY)]))
    reader.close()
    first, second = (mask == KIDNEY.index("glomerulus") for mask in masks)
    assert 2 * (first & second).sum() / (first.sum() + second.sum()) > 0.99
    assert 0.02 < (masks[0] == 0).mean() < 0.9
