from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hdgan.errors import BadMask
from hdgan.measures.boundary import (
    boundary_counts,
    boundary_iou,
    distance_to_contour,
    hd95,
    pooled_boundary_iou,
    usual_distance_px,
)

SHAPE = (9, 7)
TRUTHS = hnp.arrays(np.uint8, SHAPE, elements=st.sampled_from([0, 1, 2, 255]))
PREDICTIONS = hnp.arrays(np.uint8, SHAPE, elements=st.integers(0, 2))
FEW = settings(max_examples=30)  # the plain loops are slow
WHERE = [(r, c) for r in range(SHAPE[0]) for c in range(SHAPE[1])]


def nearest_other(mask, counted, place):
    """The plain definition: from a pixel to the nearest counted pixel of another class."""
    others = [math.dist(place, q) for q in WHERE if counted[q] and mask[q] != mask[place]]
    return min(others, default=math.inf)


def plain_band(mask, counted, index, distance_px):
    return {p for p in WHERE if counted[p] and mask[p] == index and nearest_other(mask, counted, p) <= distance_px}


def plain_hd95(truth, prediction, counted, index):
    a, b = (plain_band(mask, counted, index, 1) for mask in (truth, prediction))
    if not a and not b:
        return math.nan
    if not a or not b:
        return math.inf
    return max(np.percentile([min(math.dist(p, q) for q in theirs) for p in ours], 95) for ours, theirs in ((a, b), (b, a)))


@FEW
@given(TRUTHS, PREDICTIONS, st.sampled_from([1.0, 1.5, 2.0, 3.7]))
def test_bands_are_counted_as_in_a_plain_loop_over_pixels(truth, prediction, distance_px):
    counted = truth != 255
    counts = boundary_counts(truth, prediction, 3, distance_px=distance_px)
    for index in range(3):
        a, b = (plain_band(mask, counted, index, distance_px) for mask in (truth, prediction))
        assert tuple(counts[:, index]) == (len(a & b), len(a | b))
    expected = [both / either if either else math.nan for both, either in counts.T]
    assert boundary_iou(truth, prediction, 3, distance_px=distance_px) == pytest.approx(expected, nan_ok=True)


@FEW
@given(TRUTHS, PREDICTIONS)
def test_the_hausdorff_distance_is_that_of_a_plain_loop_over_contours(truth, prediction):
    expected = [plain_hd95(truth, prediction, truth != 255, index) for index in range(3)]
    assert hd95(truth, prediction, 3) == pytest.approx(expected, nan_ok=True)


@FEW
@given(TRUTHS)
def test_the_distance_to_the_contour_is_that_of_a_plain_loop(truth):
    counted = truth != 255
    found = distance_to_contour(truth)
    expected = [nearest_other(truth, counted, p) if counted[p] else math.nan for p in WHERE]
    assert found.ravel() == pytest.approx(expected, nan_ok=True)


@given(PREDICTIONS)
def test_a_mask_fits_itself(mask):
    ious, distances = boundary_iou(mask, mask, 3, distance_px=2.0), hd95(mask, mask, 3)
    assert set(ious[~np.isnan(ious)]) <= {1.0}
    assert set(distances[~np.isnan(distances)]) <= {0.0}
    assert (np.isnan(ious) == np.isnan(distances)).all()


def square(shift, size=40):
    mask = np.zeros((size, size), dtype=np.uint8)
    mask[10 + shift : 30 + shift, 10:30] = 1
    return mask


def test_a_square_that_is_shifted_by_three_is_three_pixels_off_and_its_band_shrinks():
    truth, moved = square(0), square(3)
    assert hd95(truth, moved, 2)[1] == 3.0
    # Bands of one pixel hold 76 pixels each; they share both sides in the 17 rows that the squares have in common.
    assert boundary_iou(truth, moved, 2, distance_px=1.0)[1] == pytest.approx(34 / (2 * 76 - 34))
    assert boundary_iou(truth, moved, 2, distance_px=5.0)[1] > boundary_iou(truth, moved, 2, distance_px=2.0)[1]


def test_a_noisy_contour_costs_more_in_the_band_than_in_the_whole():
    truth, noisy = square(0), square(0)
    noisy[10:30:2, 30] = 1
    noisy[11:30:2, 29] = 0
    whole = (truth & noisy).sum() / (truth | noisy).sum()
    assert boundary_iou(truth, noisy, 2, distance_px=2.0)[1] < whole - 0.05


def test_the_edge_of_the_image_and_of_what_is_labelled_is_no_contour():
    mask = np.ones((12, 12), dtype=np.uint8)
    assert np.isnan(boundary_iou(mask, mask, 2, distance_px=3.0)).all()
    truth = mask.copy()
    truth[:, 6:] = 255
    prediction = mask.copy()
    prediction[:, 6:] = 0  # wrong only where nobody labelled
    assert np.isnan(hd95(truth, prediction, 2)).all()


def test_counts_of_images_add_up_to_those_of_all_of_them():
    a, b = (square(0), square(2)), (square(1), square(4))
    counts = sum(boundary_counts(*pair, 2, distance_px=2.0) for pair in (a, b))
    joined = [np.concatenate([x, np.zeros((10, 40), np.uint8), y]) for x, y in zip(a, b, strict=True)]
    assert pooled_boundary_iou(counts)[1] == boundary_iou(*joined, 2, distance_px=2.0)[1]


def test_a_class_that_only_one_mask_shows_is_infinitely_far():
    assert np.isinf(hd95(square(0), np.zeros((40, 40), np.uint8), 2)).all()
    assert boundary_iou(square(0), np.zeros((40, 40), np.uint8), 2, distance_px=2.0)[1] == 0


def test_a_band_without_width_and_unequal_masks_are_refused():
    with pytest.raises(BadMask, match="use 1 px or more"):
        boundary_iou(square(0), square(0), 2, distance_px=0.5)
    for measure in (lambda a, b: hd95(a, b, 2), lambda a, b: boundary_iou(a, b, 2, distance_px=2.0)):
        with pytest.raises(BadMask, match="differ in size"):
            measure(square(0), square(0)[1:])


def test_the_usual_band_is_two_per_cent_of_the_diagonal():
    assert usual_distance_px(32) == 1.0
    assert usual_distance_px(4096) == pytest.approx(115.9, abs=0.1)
