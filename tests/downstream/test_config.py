from __future__ import annotations

import pytest
from pydantic import ValidationError

from hdgan.downstream.config import DownstreamConfig, RealConfig, RealSet, SegmenterConfig


def test_blocks_of_two_sets_that_share_rows_are_refused():
    with pytest.raises(ValidationError, match="share rows"):
        RealConfig(sets={"oracle": RealSet(rows=((0, 1000),)), "test": RealSet(rows=((999, 2000),))})


def test_blocks_that_touch_are_accepted():
    config = RealConfig(sets={"oracle": RealSet(rows=((0, 1000), (3000, 4000))), "test": RealSet(rows=((1000, 3000),))})
    assert set(config.sets) == {"oracle", "test"}


@pytest.mark.parametrize("rows", [((5, 5),), ((9, 3),), ((-1, 4),)])
def test_empty_or_negative_blocks_are_refused(rows):
    with pytest.raises(ValidationError, match="first row"):
        RealConfig(sets={"a": RealSet(rows=rows)})


def test_unknown_keys_are_refused():
    with pytest.raises(ValidationError, match="extra"):
        SegmenterConfig.model_validate({"chanels": [8, 16]})


def test_a_crop_that_the_levels_cannot_halve_is_refused():
    with pytest.raises(ValidationError, match="multiple of 8"):
        SegmenterConfig(crop_px=60)
    assert SegmenterConfig(crop_px=64).stride_px == 8


@pytest.mark.parametrize("arms", [(), ("synthetic", "synthetic"), ("imaginary",)])
def test_impossible_arms_are_refused(arms):
    with pytest.raises(ValidationError, match="arms"):
        DownstreamConfig(arms=arms)
