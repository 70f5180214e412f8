from __future__ import annotations

import numpy as np
import pytest

from hdgan.plots.sheets import contact_sheet


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
