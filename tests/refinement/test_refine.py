from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hdgan.errors import BadConfig
from hdgan.labels import ClassMap, LabelClass
from hdgan.measures.boundary import boundary_iou
from hdgan.refinement import guided
from hdgan.refinement.config import RefinementConfig
from hdgan.refinement.guided import brightness, guided_filter
from hdgan.refinement.pieces import without_small_holes, without_small_objects
from hdgan.refinement.refine import refine

CLASSES = ClassMap((LabelClass("outside", "#000000"), LabelClass("inside", "#ffffff"), LabelClass("speck", "#ff0000")))
MASKS = hnp.arrays(np.uint8, (7, 9), elements=st.integers(0, 2))


def plain_guided_filter(values, guide, radius, epsilon):
    """Window by window, as the paper writes it."""
    padded_g, padded_p = (np.pad(a.astype(float), 2 * radius, mode="symmetric") for a in (guide, values))
    h, w = np.array(guide.shape) + 2 * radius
    slope, offset = np.zeros((h, w)), np.zeros((h, w))
    for y in range(h):
        for x in range(w):
            g = padded_g[y : y + 2 * radius + 1, x : x + 2 * radius + 1]
            p = padded_p[y : y + 2 * radius + 1, x : x + 2 * radius + 1]
            slope[y, x] = ((g * p).mean() - g.mean() * p.mean()) / (g.var() + epsilon)
            offset[y, x] = p.mean() - slope[y, x] * g.mean()
    found = np.zeros(guide.shape)
    for y in range(guide.shape[0]):
        for x in range(guide.shape[1]):
            window = np.s_[y : y + 2 * radius + 1, x : x + 2 * radius + 1]
            found[y, x] = slope[window].mean() * guide[y, x] + offset[window].mean()
    return found


@pytest.mark.parametrize("radius", [1, 2])
def test_the_guided_filter_is_that_of_the_paper_window_by_window(radius):
    draw = np.random.default_rng(radius)
    guide, values = draw.random((8, 11), dtype=np.float32), draw.random((2, 8, 11), dtype=np.float32)
    found = guided_filter(values, guide, radius_px=radius, epsilon=0.02)
    for channel, smoothed in zip(values, found, strict=True):
        assert smoothed == pytest.approx(plain_guided_filter(channel, guide, radius, 0.02), abs=1e-6)


@pytest.mark.parametrize("rows", [1, 3, 5, 17])
def test_bands_of_rows_change_nothing(rows, monkeypatch):
    draw = np.random.default_rng(rows)
    guide, values = draw.random((17, 9), dtype=np.float32), draw.random((2, 17, 9), dtype=np.float32)
    whole = guided_filter(values, guide, radius_px=2, epsilon=0.02)
    monkeypatch.setattr(guided, "_BAND_ROWS", rows)
    assert guided_filter(values, guide, radius_px=2, epsilon=0.02) == pytest.approx(whole, abs=1e-6)


def test_probabilities_still_sum_to_one_after_the_filter():
    draw = np.random.default_rng(0)
    chances = draw.dirichlet(np.ones(4), size=(20, 20)).transpose(2, 0, 1).astype(np.float32)
    found = guided_filter(chances, draw.random((20, 20), dtype=np.float32), radius_px=3, epsilon=0.01)
    assert found.sum(axis=0) == pytest.approx(np.ones((20, 20)), abs=1e-5)


def noisy_disc(size=48, noise=1.2):
    """Truth, image and probabilities whose labels are wrong here and there."""
    y, x = np.mgrid[:size, :size]
    truth = (np.hypot(y - size / 2, x - size / 2) < size / 3).astype(np.uint8)
    image = np.repeat(np.where(truth, 90, 190)[..., None], 3, axis=2).astype(np.uint8)
    draw = np.random.default_rng(0)
    log_odds = (2.0 * truth - 1) + noise * draw.standard_normal(truth.shape)
    inside = (1 / (1 + np.exp(-log_odds))).astype(np.float32)
    return truth, image, np.stack([1 - inside, inside, np.zeros_like(inside)])


def test_a_noisy_contour_becomes_that_of_the_image():
    truth, image, chances = noisy_disc()
    raw = refine(chances, image, RefinementConfig(radius_px=0), classes=CLASSES)
    assert np.array_equal(raw, chances.argmax(axis=0))
    smooth = refine(chances, image, RefinementConfig(radius_px=4, epsilon=1e-3), classes=CLASSES)
    before, after = (boundary_iou(truth, mask, 2, distance_px=2.0).min() for mask in (raw, smooth))
    assert after > before + 0.3
    assert after > 0.9


def test_brightness_is_luma_from_0_to_1():
    image = np.zeros((1, 3, 3), dtype=np.uint8)
    image[0, 1], image[0, 2] = 255, (0, 255, 0)
    assert brightness(image)[0] == pytest.approx([0, 1, 0.587])


def pieces_of(mask, index):
    """Connected pieces by a plain flood."""
    left, pieces = {tuple(p) for p in np.argwhere(mask == index)}, []
    while left:
        piece, ahead = set(), [left.pop()]
        while ahead:
            y, x = ahead.pop()
            piece.add((y, x))
            for q in ((y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)):
                if q in left:
                    left.remove(q)
                    ahead.append(q)
        pieces.append(piece)
    return pieces


@settings(max_examples=50)
@given(MASKS, st.tuples(*[st.integers(0, 9)] * 3))
def test_exactly_the_pixels_of_small_pieces_change_and_to_a_nearest_one_that_stays(mask, limits):
    small = {p for index, limit in enumerate(limits) for piece in pieces_of(mask, index) if len(piece) < limit for p in piece}
    found = without_small_objects(mask, limits)
    stays = [tuple(p) for p in np.argwhere(np.ones_like(mask)) if tuple(p) not in small]
    if not stays:
        assert np.array_equal(found, mask)
        return
    for p in stays:
        assert found[p] == mask[p]
    for p in small:
        distances = np.array([np.hypot(p[0] - q[0], p[1] - q[1]) for q in stays])
        assert found[p] in {mask[stays[i]] for i in np.flatnonzero(np.isclose(distances, distances.min()))}


def test_a_hole_is_filled_up_to_its_limit_and_a_bay_at_the_edge_is_none():
    mask = np.ones((9, 9), dtype=np.uint8)
    mask[2:4, 2:4] = 0  # 4 px
    mask[6, 6:8] = 2  # 2 px
    mask[0, 0:2] = 0  # at the edge
    filled = without_small_holes(mask, (0, 4, 0))
    assert (filled == 2).sum() == 0
    assert (filled[2:4, 2:4] == 0).all()
    assert (filled[0, :2] == 0).all()
    assert (without_small_holes(mask, (0, 5, 0)) == 0).sum() == 2
    assert np.array_equal(without_small_holes(mask, (0, 0, 0)), mask)


def test_limits_are_those_of_the_class_by_its_name():
    config = RefinementConfig(smallest_object_px=3, smallest_object_px_of={"speck": 9}, smallest_hole_px_of={"inside": 4})
    assert config.object_limits(CLASSES) == (3, 3, 9)
    assert config.hole_limits(CLASSES) == (0, 4, 0)


@pytest.mark.parametrize("field", ["smallest_object_px_of", "smallest_hole_px_of"])
def test_a_limit_for_what_is_no_class_is_refused(field):
    truth, image, chances = noisy_disc()
    with pytest.raises(BadConfig, match=f"refinement.{field}: no class 'tuft'"):
        refine(chances, image, RefinementConfig(**{field: {"tuft": 3}}), classes=CLASSES)
    with pytest.raises(BadConfig, match="-1 px for 'speck'"):
        refine(chances, image, RefinementConfig(**{field: {"speck": -1}}), classes=CLASSES)
