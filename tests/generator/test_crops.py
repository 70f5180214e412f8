from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdgan.generator.crops import ArrayTiles, Crops


def marked(edge: int) -> ArrayTiles:
    """One tile whose red is the column, green the row, blue full: outside of it blue would be 0."""
    rows, columns = np.mgrid[0:edge, 0:edge]
    return ArrayTiles(np.stack((columns, rows, np.full_like(rows, 255)), axis=-1).astype(np.uint8)[None])


@given(number=st.integers(0, 10_000), size=st.sampled_from([16, 24, 40]))
@settings(max_examples=60)
def test_a_turned_crop_never_leaves_its_tile_and_keeps_the_scale(number, size):
    crop = Crops(marked(64), chosen=[0], size_px=size, seed=1).crop(number).astype(float)
    assert crop.shape == (size, size, 3)
    assert crop[..., 2].min() >= 250
    step = crop[1:, :, :2] - crop[:-1, :, :2]
    assert abs(np.linalg.norm(step.mean(axis=(0, 1))) - 1) < 0.05


def test_a_crop_is_a_function_of_its_number():
    crops = Crops(marked(64), chosen=[0], size_px=16, seed=1)
    together = crops.batch(5, 4)
    alone = np.concatenate([crops.batch(n, 1) for n in range(5, 9)])
    assert np.array_equal(together, alone)
    assert not np.array_equal(together[0], together[1])
    threaded = Crops(marked(64), chosen=[0], size_px=16, seed=1, num_threads=3).batch(5, 4)
    assert np.array_equal(together, threaded)


def test_without_a_margin_only_quarter_turns_and_flips_are_drawn():
    crops = Crops(marked(16), chosen=[0], size_px=16, seed=0)
    seen = {crops.crop(n)[..., :2].tobytes() for n in range(200)}
    assert len(seen) == 8


def test_without_turning_crops_are_cut_upright():
    crop = Crops(marked(64), chosen=[0], size_px=16, seed=0, is_turned=False).crop(3)
    assert (np.diff(crop[..., 0].astype(int), axis=1) == 1).all()
    assert (np.diff(crop[..., 1].astype(int), axis=0) == 1).all()


@pytest.mark.parametrize(
    ("flips", "is_quarter_turned", "num"),
    [("none", False, 1), ("x", False, 2), ("y", False, 2), ("both", False, 4), ("none", True, 4), ("x", True, 8)],
)
def test_flips_and_quarter_turns_can_be_had_one_by_one(flips, is_quarter_turned, num):
    crops = Crops(marked(16), chosen=[0], size_px=16, seed=0, is_turned=False, flips=flips, is_quarter_turned=is_quarter_turned)
    seen = {crops.crop(n)[..., :2].tobytes(): crops.crop(n) for n in range(200)}
    assert len(seen) == num
    upright = marked(16).array[0]
    if flips != "none" and not is_quarter_turned:
        mirrored = upright[:, ::-1] if flips in ("x", "both") else upright[::-1]
        assert mirrored[..., :2].tobytes() in seen


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_tiles_of_any_number_of_channels_are_turned_like_those_of_three(channels):
    coloured = np.random.default_rng(0).integers(0, 255, (1, 64, 64, 4), dtype=np.uint8)
    three = Crops(ArrayTiles(coloured[..., :3]), chosen=[0], size_px=32, seed=0)
    crops = Crops(ArrayTiles(coloured[..., :channels]), chosen=[0], size_px=32, seed=0)
    shared = min(channels, 3)
    assert crops.batch(0, 3).shape == (3, channels, 32, 32)
    assert np.array_equal(crops.batch(0, 3)[:, :shared], three.batch(0, 3)[:, :shared])
