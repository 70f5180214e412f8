from __future__ import annotations

import numpy as np
import pytest

from hdgan.downstream.fit import HeldPairs
from hdgan.downstream.measure import label_all, measure

from .conftest import CLASSES


def _pairs(count=6):
    rng = np.random.default_rng(2)
    masks = [rng.integers(0, 3, (10, 10)).astype(np.uint8) for _ in range(count)]
    return HeldPairs([np.repeat(mask[..., None] * 50, 3, axis=2) for mask in masks], masks)


def test_a_perfect_predictor_has_dice_one_and_absent_classes_have_none():
    pairs = _pairs()
    result = measure(label_all(lambda image: image[..., 0] // 50, pairs), pairs, classes=CLASSES, seed=0, resamples=100)
    assert [row["dice"] for row in result["classes"]] == [1.0, 1.0, 1.0, None]
    assert result["classes"][0]["dice_interval"] == [1.0, 1.0]
    assert result["classes"][3]["dice_interval"] is None
    assert (result["macro_dice"], result["pixel_accuracy"], result["num_pixels"]) == (1.0, 1.0, 600)


def test_pooled_dice_is_counted_by_hand():
    truth = np.array([[0, 0, 1, 1]], np.uint8)
    pairs = HeldPairs([np.zeros((1, 4, 3), np.uint8)], [truth])
    result = measure([np.array([[0, 1, 1, 1]], np.uint8)], pairs, classes=CLASSES, seed=0, resamples=100)
    assert result["classes"][0]["dice"] == pytest.approx(2 / 3)
    assert result["classes"][1]["dice"] == pytest.approx(4 / 5)
    assert result["macro_dice_interval"] is None  # one image cannot say how far images differ
    assert [row["images_with_class"] for row in result["classes"]] == [1, 1, 0, 0]


def test_ignored_pixels_do_not_count():
    pairs = _pairs(2)
    for mask in pairs.masks:
        mask[:5] = 255
    result = measure([np.full((10, 10), 2, np.uint8)] * 2, pairs, classes=CLASSES, seed=0, resamples=100)
    assert result["num_pixels"] == 100
    assert result["pixel_accuracy"] == pytest.approx(np.mean([(mask[5:] == 2).mean() for mask in pairs.masks]))
