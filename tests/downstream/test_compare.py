from __future__ import annotations

import numpy as np
import pytest

from hdgan.downstream.compare import arms, choose_real, differences, remarks, shared_settings
from hdgan.downstream.config import DownstreamConfig, SegmenterConfig
from hdgan.downstream.fit import HeldPairs
from hdgan.downstream.measure import measure
from hdgan.errors import BadInput

from .conftest import CLASSES


def _pairs(count, seed=0):
    rng = np.random.default_rng(seed)
    masks = [rng.integers(0, 3, (16, 16)).astype(np.uint8) for _ in range(count)]
    return HeldPairs([np.full((16, 16, 3), index, np.uint8) for index in range(count)], masks)


def test_the_real_arm_gets_the_asked_number_of_different_images():
    chosen = choose_real(_pairs(40), num=16, seed=3)
    values = [int(image[0, 0, 0]) for image in chosen.images]
    assert len(set(values)) == 16
    assert values != [int(image[0, 0, 0]) for image in choose_real(_pairs(40), num=16, seed=4).images]
    assert len(choose_real(_pairs(5), num=16, seed=3)) == 5


def test_arms_say_what_they_learn_from():
    made = arms(DownstreamConfig(arms=("both", "real"), num_real=4), synthetic=_pairs(50), real=_pairs(9), seed=0)
    assert [arm.name for arm in made] == ["both", "real"]
    assert made[0].trained_on == "50 synthetic pairs and 4 real annotated images, half of each batch from either"
    assert len(made[1].pairs) == 4


def test_all_arms_share_the_largest_crop_that_fits():
    assert shared_settings(SegmenterConfig(), tile_px=64, synthetic_px=60).crop_px == 56
    assert shared_settings(SegmenterConfig(crop_px=32), tile_px=64, synthetic_px=64).crop_px == 32
    with pytest.raises(BadInput, match="the smallest image has 64"):
        shared_settings(SegmenterConfig(crop_px=128), tile_px=64, synthetic_px=256)


def test_a_clear_difference_is_settled_and_none_is_not():
    pairs = _pairs(30)
    rng = np.random.default_rng(9)
    noise = [np.where(rng.random(mask.shape) < 0.5, rng.integers(0, 3, mask.shape), mask).astype(np.uint8) for mask in pairs.masks]
    rows = differences({"a": pairs.masks, "b": noise, "c": pairs.masks}, pairs, num_classes=4, seed=1, resamples=200)
    by_name = {(row["of"], row["less"]): row for row in rows}
    assert by_name["a", "b"]["is_settled"]
    assert by_name["a", "b"]["macro_dice"] == pytest.approx(-by_name["b", "c"]["macro_dice"])
    assert by_name["a", "c"]["macro_dice"] == 0
    assert not by_name["a", "c"]["is_settled"]


def test_remarks_name_patient_annotator_absent_and_rare_classes():
    pairs = _pairs(12)
    for mask in pairs.masks[3:]:
        mask[mask == 2] = 1
    results = [{"scores": measure(pairs.masks, pairs, classes=CLASSES, seed=0, resamples=100)}]
    lines = "\n".join(remarks(results, [{"of": "x", "less": "y", "is_settled": False}], is_same_patient=True, annotator="oracle"))
    assert "same patient" in lines
    assert "'oracle'" in lines
    assert "No claim is made on never" in lines
    assert "ring (3)" in lines
    assert "x against y" in lines
