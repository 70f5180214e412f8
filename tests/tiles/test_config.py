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


@pytest.mark.parametrize(("form", "recorded"), [("jxl", "png"), ("none", "png"), ("raw", "raw"), ("jpeg", "jpeg")])
def test_ways_to_store_the_same_pixels_are_recorded_as_one(form, recorded):
    assert TilesConfig(**BASE, format=form).recorded()["format"] == recorded


def test_thresholds_that_tiles_cannot_show_are_refused():
    for name in ("max_blur", "min_compartment"):
        assert getattr(TilesConfig(**{**BASE, "mpp": 2.03}, **{name: 0.5}).limits, name) == 0.5
        with pytest.raises(ValidationError, match="needs tiles of at most 2 um/px, not 4"):
            TilesConfig(**{**BASE, "mpp": 4}, **{name: 0.5})


def test_fields_of_later_versions_are_recorded_only_where_they_were_set():
    """Exactly what the first version recorded: a run that it finished stays current."""
    first = {
        "slides": ["a.svs"],
        "mpp": 0.5,
        "tile_px": 256,
        "margin": 1.0,
        "stride_px": None,
        "max_background": 0.5,
        "white_distance": 8.0,
        "num_folds": 5,
        "slide_mpp": None,
        "format": "png",
        "jpeg_quality": 95,
        "broken_slides": "stop",
    }
    assert TilesConfig(**BASE).recorded() == first
    later = {"folds": "centre", "min_stains_per_case": 3, "max_pen": 0.1, "min_density": 0.04}
    assert TilesConfig(**BASE, **later).recorded() == first | later
    assert TilesConfig(**BASE, images=ImagesConfig()).recorded()["images"]["fit"] == "exact"


def test_with_a_key_neither_its_place_nor_the_names_of_slides_are_recorded():
    recorded = TilesConfig(**BASE, pseudonym_key="secret/key.txt").recorded()
    assert recorded == {name: value for name, value in TilesConfig(**BASE).recorded().items() if name != "slides"}
