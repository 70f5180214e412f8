from __future__ import annotations

import numpy as np

from hdgan.tiles.cut import BLUR, KEPT, LEFT_OUT, REASONS, Cell
from hdgan.tiles.overview import Overview
from hdgan.tiles.pictures import COLOURS, LARGEST_PX, composed, draw_cells, encode_jpeg, encode_overlay, thumbnail


def test_a_thumbnail_is_bounded_and_keeps_the_shape_of_the_slide():
    pixels = np.zeros((3000, 1500, 3), np.uint8)
    pixels[:1500] = 200
    small = thumbnail(Overview(pixels, 4.0, np.zeros((3000, 1500), bool)))
    assert small.shape == (LARGEST_PX, LARGEST_PX // 2, 3)
    assert (small[: LARGEST_PX // 2 - 1] == 200).all()
    assert (small[LARGEST_PX // 2 + 1 :] == 0).all()


def test_a_small_overview_stays_as_it_is_and_what_cannot_be_read_is_grey():
    pixels = np.full((30, 20, 3), 77, np.uint8)
    is_unreadable = np.zeros((30, 20), bool)
    is_unreadable[:10] = True
    small = thumbnail(Overview(pixels, 4.0, is_unreadable))
    assert (small[:10] == 128).all()
    assert (small[10:] == 77).all()


def test_every_verdict_has_a_colour_of_its_own():
    assert set(COLOURS) == {KEPT, *REASONS, LEFT_OUT}
    assert len(set(COLOURS.values())) == len(COLOURS)


def test_cells_are_drawn_where_they_lie_as_wide_as_the_step():
    cells = [Cell("s", 0, 0, 200, 0.1, KEPT), Cell("s", 100, 0, 200, 0.1, BLUR)]
    overlay = draw_cells(cells, slide_px=(400, 200), picture_px=(200, 100), drawn_px=100)
    shown = np.argwhere(overlay[..., 3] > 0)
    assert (shown.min(axis=0).tolist(), shown.max(axis=0).tolist()) == ([25, 25], [74, 124])
    assert tuple(overlay[25, 25]) == (*COLOURS[KEPT], 255)
    assert overlay[50, 50, 3] == 0
    assert tuple(overlay[50, 100, :3]) == COLOURS[BLUR]
    picture = np.full((100, 200, 3), 255, np.uint8)
    both = composed(picture, overlay)
    assert tuple(both[25, 25]) == COLOURS[KEPT]
    assert (both[0, 0] == 255).all()
    assert (both[50, 100] > COLOURS[BLUR]).any()


def test_cells_smaller_than_a_pixel_are_still_drawn():
    overlay = draw_cells([Cell("s", 1000, 1000, 10, 0.9, BLUR)], slide_px=(100_000, 100_000), picture_px=(500, 500), drawn_px=10)
    assert (overlay[..., 3] > 0).sum() == 1


def test_equal_pictures_give_equal_bytes():
    picture = np.random.default_rng(0).integers(0, 256, (40, 40, 4), dtype=np.uint8)
    assert encode_overlay(picture) == encode_overlay(picture.copy())
    assert encode_jpeg(picture[..., :3]) == encode_jpeg(picture[..., :3].copy())
