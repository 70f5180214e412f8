from __future__ import annotations

import math

import pytest
from pydantic import ValidationError

from hdgan.tiles.config import TilesConfig
from hdgan.tiles.images_config import ImagesConfig

BASE = {"slides": ("a.svs",), "mpp": 0.5, "tile_px": 256}


def test_a_margin_of_the_root_of_two_holds_a_crop_at_any_angle():
    stored = TilesConfig(**BASE, margin=1.415).stored_px
    assert stored >= 256 * math.sqrt(2)
    assert stored == 363


def test_without_margin_and_stride_tiles_are_as_asked_for_and_touch():
    config = TilesConfig(**BASE)
    assert (config.stored_px, config.step_px) == (256, 256)


def test_a_whole_margin_adds_no_pixel_by_rounding():
    assert TilesConfig(**BASE, margin=1.1).stored_px == math.ceil(281.6)
    assert TilesConfig(**{**BASE, "tile_px": 100}, margin=1.1).stored_px == 110


@pytest.mark.parametrize(
    "wrong",
    [
        {"mpp": 0},
        {"mpp": float("nan")},
        {"tile_px": 4},
        {"slides": ()},
        {"max_background": 1.1},
        {"margin": 0.5},
        {"tile": 1},
        {"stride_px": 0},
    ],
)
def test_impossible_values_and_unknown_keys_are_refused(wrong):
    with pytest.raises(ValidationError):
        TilesConfig(**{**BASE, **wrong})


def test_what_was_recorded_before_a_setting_existed_is_what_its_default_records():
    """A run of an earlier version stays current."""
    recorded = TilesConfig(**BASE).recorded()
    assert "images" not in recorded
    assert recorded["format"] == "png"
    assert TilesConfig(**BASE, images=ImagesConfig()).recorded()["images"]["fit"] == "exact"


@pytest.mark.parametrize(("form", "recorded"), [("jxl", "png"), ("none", "png"), ("raw", "raw"), ("jpeg", "jpeg")])
def test_ways_to_store_the_same_pixels_are_recorded_as_one(form, recorded):
    assert TilesConfig(**BASE, format=form).recorded()["format"] == recorded


def test_thresholds_that_tiles_cannot_show_are_refused():
    for name in ("max_blur", "min_compartment"):
        assert getattr(TilesConfig(**{**BASE, "mpp": 2.03}, **{name: 0.5}).limits, name) == 0.5
        with pytest.raises(ValidationError, match="needs tiles of at most 2 um/px, not 4"):
            TilesConfig(**{**BASE, "mpp": 4}, **{name: 0.5})


def test_thresholds_are_recorded_where_they_were_set():
    assert not {"max_pen", "max_black", "max_blur", "min_compartment"} & TilesConfig(**BASE).recorded().keys()
    assert TilesConfig(**BASE, max_pen=0.1).recorded()["max_pen"] == 0.1
