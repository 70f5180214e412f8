from __future__ import annotations

import numpy as np

from hdgan.downstream.fit import HeldPairs
from hdgan.downstream.panels import panel_order, panel_sheet

from .conftest import CLASSES


def _pairs(count, seed=0):
    rng = np.random.default_rng(seed)
    masks = [rng.integers(0, 3, (16, 16)).astype(np.uint8) for _ in range(count)]
    return HeldPairs([np.full((16, 16, 3), index, np.uint8) for index in range(count)], masks)


def test_panels_show_the_rarest_class_without_looking_at_results():
    pairs = _pairs(20)
    for mask in pairs.masks[:18]:
        mask[mask == 2] = 0
    order = panel_order(pairs, num=4, num_classes=4, seed=0)
    assert {18, 19} <= set(order[:2])
    assert len(set(order)) == 4
    assert order == panel_order(pairs, num=4, num_classes=4, seed=0)


def test_a_row_is_image_truth_and_one_mask_for_each_predictor():
    pairs = _pairs(3)
    wrong = [np.full((16, 16), 255, np.uint8)] * 3
    sheet = panel_sheet(pairs, [pairs.masks, wrong], num=2, classes=CLASSES, seed=0)
    assert sheet.shape == (2 * 164 + 4, 4 * 164 + 4, 3)
    cells = [sheet[4:164, 4 + 164 * column : 164 + 164 * column] for column in range(4)]
    np.testing.assert_array_equal(cells[1], cells[2])
    assert (cells[3] == 0).all()
    assert len(np.unique(cells[0])) == 1


def test_rows_can_share_a_line():
    pairs = _pairs(4)
    assert panel_sheet(pairs, [pairs.masks], num=4, classes=CLASSES, seed=0, side_by_side=2).shape == (2 * 164 + 4, 6 * 164 + 4, 3)
