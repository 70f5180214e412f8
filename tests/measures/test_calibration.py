from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdgan.measures.calibration import image_score, reliability, reliability_of


def calibrated(num: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities `[3, num]` and classes drawn from them."""
    draw = np.random.default_rng(seed)
    probabilities = draw.dirichlet((1.0, 0.5, 0.3), size=num).T
    truth = (draw.random(num) > probabilities.cumsum(axis=0)).sum(axis=0).astype(np.uint8)
    return probabilities, truth


def sharpened(probabilities: np.ndarray, power: float) -> np.ndarray:
    raised = probabilities**power
    return raised / raised.sum(axis=0)


def test_classes_drawn_from_their_probabilities_are_reliable_and_sharpened_ones_overconfident():
    probabilities, truth = calibrated(40_000)
    honest, boastful, modest = (reliability(sharpened(probabilities, power), truth) for power in (1, 3, 0.4))
    assert honest.ece < 0.02
    assert abs(honest.overconfidence) < 0.01
    assert boastful.ece > 0.1
    assert boastful.overconfidence > 0.1
    assert modest.overconfidence < -0.1


def test_bins_by_hand():
    confidence = np.array([[0.95, 0.95, 0.55], [0.55, 0.15, 0.99]])
    mask = np.array([[0, 1, 0], [1, 1, 0]], dtype=np.uint8)
    truth = np.array([[0, 0, 0], [0, 1, 255]], dtype=np.uint8)
    found = reliability_of(confidence, mask, truth, num_bins=10)
    assert found.counts.tolist() == [0, 1, 0, 0, 0, 2, 0, 0, 0, 2]
    assert found.right.tolist() == [0, 1, 0, 0, 0, 1, 0, 0, 0, 1]
    assert found.ece == pytest.approx((0.85 + 2 * 0.05 + 2 * 0.45) / 5)
    assert found.overconfidence == pytest.approx((0.15 + 2 * 0.55 + 2 * 0.95 - 3) / 5)
    assert math.isnan(found.accuracy[0])
    assert found.confidence[9] == pytest.approx(0.95)
    plain = found.to_json()
    assert plain["accuracy"][:2] == [None, 1.0]
    assert len(plain["edges"]) == 11


@given(num=st.integers(2, 200), cut=st.floats(0, 1), bins=st.integers(1, 20))
@settings(max_examples=30)
def test_images_add_up_to_their_pixels_together(num, cut, bins):
    probabilities, truth = calibrated(num, seed=num)
    at = int(cut * num)
    parts = [reliability(probabilities[:, part], truth[part], num_bins=bins) for part in (slice(0, at), slice(at, None))]
    together, whole = parts[0] + parts[1], reliability(probabilities, truth, num_bins=bins)
    assert together.counts.tolist() == whole.counts.tolist()
    assert together.right.tolist() == whole.right.tolist()
    assert together.ece == pytest.approx(whole.ece)
    assert whole.counts.sum() == num
    assert 0 <= whole.ece <= 1
    assert abs(whole.overconfidence) <= whole.ece + 1e-12


def test_a_certain_pixel_falls_into_the_last_bin_and_no_pixel_has_no_error():
    certain = reliability(np.array([[1.0], [0.0]]), np.array([0], dtype=np.uint8))
    assert certain.counts[-1] == 1
    assert certain.ece == 0
    nothing = reliability(np.array([[1.0], [0.0]]), np.array([255], dtype=np.uint8))
    assert math.isnan(nothing.ece)
    assert nothing.to_json()["ece"] is None


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="do not fit"):
        reliability(np.ones((2, 4)), np.zeros(5, dtype=np.uint8))
    with pytest.raises(ValueError, match="from 0 to 1"):
        reliability(np.full((2, 4), 3.0), np.zeros(4, dtype=np.uint8))
    with pytest.raises(ValueError, match="bins"):
        reliability(np.ones((1, 1)), np.zeros(1, dtype=np.uint8), num_bins=3) + reliability(np.ones((1, 1)), np.zeros(1, dtype=np.uint8))


@given(num=st.integers(1, 400), share=st.sampled_from([0.001, 0.1, 0.29, 1.0]))
def test_the_score_is_the_mean_of_the_sorted_ones_on_top(num, share):
    values = np.random.default_rng(num).random(num).astype(np.float32)
    count = max(1, math.floor(round(share * num, 9)))
    assert image_score(values, top_share=share) == pytest.approx(np.sort(values.astype(np.float64))[-count:].mean())
