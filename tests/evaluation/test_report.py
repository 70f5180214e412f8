from __future__ import annotations

import numpy as np
import pytest

from hdgan.evaluation import report
from hdgan.plots.page import Page
from hdgan.plots.panels import Panel


@pytest.mark.parametrize(
    ("macro_dice", "told"),
    [
        (0.8, "keeps the weights of its best one on the validation images"),
        (None, "keeps the weights it ends with, since no image is held out"),
    ],
)
def test_the_weights_that_are_kept_are_those_that_could_be_chosen(macro_dice, told):
    page = Page("t", "l")
    report._tell_curves(page, [{"member": 0, "epoch": epoch, "loss": 1.0 / (1 + epoch), "macro_dice": macro_dice} for epoch in range(3)])
    assert told in page.html()


@pytest.mark.parametrize(("value", "is_told"), [(255, True), (1, False)])
def test_black_is_explained_where_somebody_annotated_a_part_of_an_image(value, is_told):
    mask = np.zeros((4, 4), np.uint8)
    truth = mask.copy()
    truth[0] = value
    marks = report._marks([Panel(np.zeros((4, 4, 3), np.uint8), mask, truth)])
    assert any(text.startswith("not annotated") for _, text in marks) == is_told
