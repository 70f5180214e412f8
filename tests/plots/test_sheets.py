from __future__ import annotations

import numpy as np
import pytest

from hdgan.plots.sheets import contact_sheet, named_sheet, numbered_sheet, scaled


def test_images_stand_in_reading_order_on_a_square_grid():
    images = [np.full((5, 7, 3), level, np.uint8) for level in range(10, 60, 10)]
    sheet = contact_sheet(images, gap_px=2)
    assert sheet.shape == (2 * 7 + 2, 3 * 9 + 2, 3)
    centres = [sheet[2 + 2 + 7 * (i // 3), 2 + 3 + 9 * (i % 3), 0] for i in range(6)]
    assert centres == [10, 20, 30, 40, 50, 255]


def test_smaller_images_are_centred_and_keep_every_pixel():
    small = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    sheet = contact_sheet([np.zeros((6, 6, 3), np.uint8), small], columns=2, gap_px=1, background=(9, 9, 9))
    assert np.array_equal(sheet[3:5, 10:12], small)
    assert np.count_nonzero(np.all(sheet == 9, axis=2)) == sheet.shape[0] * sheet.shape[1] - 36 - 4


def test_no_images_are_an_error():
    with pytest.raises(ValueError, match="needs images"):
        contact_sheet([])


def test_each_image_stands_under_its_number():
    images = [np.full((40, 40, 3), level, np.uint8) for level in (10, 20, 30)]
    sheet = numbered_sheet(images, first=7, columns=3)
    strip = 18
    for i, image in enumerate(images):
        left = 4 + i * 44
        assert np.array_equal(sheet[4 + strip : 44 + strip, left : left + 40], image)
        assert (sheet[4 : 4 + strip, left : left + 40] < 128).any()
    strips = [sheet[4:22, 4 + i * 44 : 44 + i * 44] for i in range(3)]
    assert not np.array_equal(strips[0], strips[1])
    assert np.array_equal(numbered_sheet(images[:1], first=8)[4:22, 4:44], strips[1])


def test_every_image_needs_a_name():
    images = [np.zeros((40, 40, 3), np.uint8)] * 2
    with pytest.raises(ValueError, match="shorter"):
        named_sheet(images, ["one"])
    assert np.array_equal(named_sheet(images, ["3", "4"]), numbered_sheet(images, first=3))


def test_small_images_are_repeated_and_large_ones_averaged_by_whole_factors():
    image = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    assert np.array_equal(scaled(image, least_px=10)[::3, ::3], image)
    assert scaled(image, least_px=10).shape == (12, 12, 3)
    assert np.array_equal(scaled(image, least_px=4), image)
    small = scaled(image.repeat(3, axis=0).repeat(3, axis=1), least_px=2, most_px=5)
    assert np.array_equal(small, image)
    assert scaled(np.zeros((7, 7, 3), np.uint8), least_px=1, most_px=3).shape == (2, 2, 3)
