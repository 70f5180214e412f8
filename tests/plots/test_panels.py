from __future__ import annotations

from dataclasses import replace

import numpy as np

from hdgan.labels import KIDNEY
from hdgan.plots.panels import Panel, errors, fitted, panel_sheet, thinned


def panel(size, wrong=3):
    truth = np.zeros((size, size), np.uint8)
    truth[:, : size // 2] = 2
    truth[-2:] = 255
    prediction = truth.copy()
    prediction[-2:] = 1
    prediction[:wrong] = 1
    image = np.full((size, size, 3), 90, np.uint8)
    return Panel(image, prediction, truth, np.zeros((size, size), np.float32))


def test_exactly_the_wrong_pixels_are_red_and_ignored_ones_black():
    picture = errors(panel(20))
    is_red = (picture == (224, 40, 40)).all(axis=2)
    assert is_red[:3].all()
    assert is_red.sum() == 60
    assert (picture[-2:] == 0).all()
    assert (picture[3:-2].std(axis=2) == 0).all()


def test_small_cells_are_enlarged_and_large_ones_thinned():
    assert fitted(np.zeros((32, 32, 3), np.uint8)).shape == (160, 160, 3)
    assert fitted(np.zeros((200, 200, 3), np.uint8)).shape == (200, 200, 3)
    large = np.arange(4096, dtype=np.uint16).astype(np.uint8)[:, None, None].repeat(4096, axis=1)
    assert np.array_equal(fitted(large), large[::8, ::8])


def test_a_sheet_has_five_cells_for_each_image():
    sheet = panel_sheet([panel(32), panel(32, wrong=10)], KIDNEY)
    assert sheet.shape == (2 * 164 + 4, 5 * 164 + 4, 3)


def test_rows_of_named_panels_stand_under_their_names_and_columns_under_their_titles():
    panels = [replace(panel(32), name=name) for name in ("000123", "000007")]
    sheet = panel_sheet(panels, KIDNEY)
    assert sheet.shape == (2 * (164 + 18) + 4, 5 * 164 + 4, 3)
    strips = [[sheet[4 + 182 * row : 22 + 182 * row, 4 + 164 * column : 164 + 164 * column] for column in range(5)] for row in range(2)]
    assert [[bool((strip < 128).any()) for strip in row] for row in strips] == [[True] * 5, [True, False, False, False, False]]
    assert not np.array_equal(strips[0][0], strips[1][0])
    assert np.array_equal(sheet[22:182], panel_sheet([panel(32)], KIDNEY)[4:164])
    assert thinned(panels[0]).name == "000123"


def test_a_thinned_panel_shows_the_same_and_holds_nothing_of_the_large_one():
    for size in (32, 1100):
        large = panel(size)
        small = thinned(large)
        assert np.array_equal(panel_sheet([small], KIDNEY), panel_sheet([large], KIDNEY))
        assert small.image.shape[0] <= 512
        assert small.prediction.base is None
        assert small.uncertainty is not None
        assert small.uncertainty.base is None
