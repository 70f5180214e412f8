from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hdgan.measures.intervals import bootstrap
from hdgan.measures.scores import frequent_confusions, kappa, score

MATRICES = hnp.arrays(np.int64, (4, 4), elements=st.integers(0, 1000))


def test_scores_of_a_small_matrix_are_those_computed_by_hand():
    scores = score(np.array([[6, 2, 0], [1, 3, 0], [0, 0, 0]]))
    assert scores.recall[:2] == pytest.approx([6 / 8, 3 / 4])
    assert scores.precision[:2] == pytest.approx([6 / 7, 3 / 5])
    assert scores.iou[:2] == pytest.approx([6 / 9, 3 / 6])
    assert scores.dice[:2] == pytest.approx([12 / 15, 6 / 9])
    assert scores.pixel_accuracy == pytest.approx(9 / 12)
    assert np.isnan(scores.dice[2])
    assert scores.macro_dice == pytest.approx((12 / 15 + 6 / 9) / 2)
    assert scores.to_json()["per_class"]["dice"][2] is None


@given(MATRICES)
def test_dice_and_iou_agree_and_scores_stay_between_0_and_1(matrix):
    scores = score(matrix)
    assert scores.dice == pytest.approx(2 * scores.iou / (1 + scores.iou), nan_ok=True)
    for values in (scores.recall, scores.precision, scores.iou, scores.dice):
        defined = values[~np.isnan(values)]
        assert ((defined >= 0) & (defined <= 1)).all()


@given(MATRICES, st.permutations(range(4)))
def test_renaming_classes_permutes_the_scores(matrix, order):
    renamed = score(matrix[np.ix_(order, order)])
    assert renamed.dice == pytest.approx(score(matrix).dice[list(order)], nan_ok=True)


def test_the_interval_holds_the_pooled_value_and_shrinks_with_more_images():
    draw = np.random.default_rng(0)

    def images(num):
        right = draw.integers(50, 100, num)
        return np.stack([np.array([[r, 100 - r], [100 - r, r]]) for r in right])

    few, many = images(5), images(200)
    ends = [bootstrap(m, lambda x: score(x).pixel_accuracy, seed=1) for m in (few, many)]
    for matrices, (low, high) in zip((few, many), ends, strict=True):
        assert low <= score(matrices.sum(axis=0)).pixel_accuracy <= high
    assert ends[1][1] - ends[1][0] < ends[0][1] - ends[0][0]
    assert bootstrap(few, lambda x: score(x).pixel_accuracy, seed=1) == ends[0]


def test_one_image_has_no_interval():
    assert np.isnan(bootstrap(np.ones((1, 2, 2), dtype=int), lambda x: score(x).pixel_accuracy, seed=0)).all()


@given(MATRICES)
def test_every_wrong_pixel_is_in_one_confusion_and_the_worst_shares_come_first(matrix):
    found = frequent_confusions(matrix, num=12)
    assert sum(row.pixels for row in found) == matrix.sum() - np.trace(matrix)
    assert [row.share for row in found] == sorted((row.share for row in found), reverse=True)
    assert all(row.truth != row.taken_for and row.pixels == matrix[row.truth, row.taken_for] for row in found)
    assert frequent_confusions(matrix, num=2) == found[:2]


def test_a_rare_class_that_is_mostly_missed_comes_before_many_pixels_of_a_frequent_one():
    (first, second) = frequent_confusions(np.array([[9000, 1000], [8, 2]]))
    assert (first.truth, first.taken_for, first.pixels, first.share) == (1, 0, 8, 0.8)
    assert (second.pixels, second.share) == (1000, 0.1)


def test_a_class_that_is_only_predicted_or_only_missed_counts_against_the_macro_dice():
    invented = score(np.array([[5, 5, 0], [0, 0, 0], [0, 0, 0]]))
    assert invented.dice[1] == 0
    assert np.isnan(invented.recall[1])
    missed = score(np.array([[5, 0, 0], [5, 0, 0], [0, 0, 0]]))
    assert missed.dice[1] == missed.recall[1] == 0
    assert np.isnan(missed.precision[1])
    assert np.isnan(invented.dice[2])
    assert invented.macro_dice == pytest.approx(invented.dice[0] / 2)


def test_kappa_is_agreement_beyond_what_the_shares_of_the_classes_give():
    """Cohen's own worked kind: 20 + 15 of 50 agreed, 0.5 by chance."""
    assert kappa(np.array([[20, 5], [10, 15]])) == pytest.approx(0.4)
    assert kappa(np.array([[7, 0], [0, 3]])) == 1.0
    assert kappa(np.outer([6, 4], [3, 7])) == pytest.approx(0.0)
    assert kappa(np.array([[0, 5], [5, 0]])) == -1.0
    for undefined in ([[5, 0], [0, 0]], [[0, 0], [0, 0]]):
        assert math.isnan(kappa(np.array(undefined)))
