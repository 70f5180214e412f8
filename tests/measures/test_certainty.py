from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hdgan.measures import certainty
from hdgan.measures.certainty import RESOLUTION, Certainty, certainty_of

NATS = st.one_of(
    st.floats(0, 7.5, width=32, allow_subnormal=False),
    st.floats(0, 2**-10, width=32, allow_subnormal=False),
    st.integers(0, 30).map(lambda k: k / 8),
)
PIXELS = st.lists(st.tuples(NATS, st.booleans()), min_size=1, max_size=60)


def found_of(pixels: list[tuple[float, bool]]) -> tuple[Certainty, np.ndarray, np.ndarray]:
    """With the numbers themselves, and which are wrong."""
    values, is_wrong = np.array([value for value, _ in pixels], dtype=np.float32), np.array([wrong for _, wrong in pixels])
    return certainty_of(is_wrong.astype(np.uint8), values, np.zeros(len(pixels), dtype=np.uint8)), values, is_wrong


def all_pairs(values: np.ndarray, is_wrong: np.ndarray) -> tuple[float, float]:
    """The area under the curve, and the share of the pairs of a wrong and a right pixel that are too near each other to be told apart."""
    wrong, right = values[is_wrong].astype(float)[:, None], values[~is_wrong].astype(float)[None]
    is_near = np.abs(wrong - right) <= RESOLUTION * np.maximum(wrong, right)
    return float(((wrong > right) + 0.5 * (wrong == right)).mean()), float((is_near & (wrong != right)).mean())


@settings(max_examples=300)
@given(PIXELS)
def test_the_area_under_the_curve_is_that_of_all_pairs_but_for_those_within_the_resolution(pixels):
    found, values, is_wrong = found_of(pixels)
    if is_wrong.all() or not is_wrong.any():
        assert found.auroc is None
        return
    exact, share_near = all_pairs(values, is_wrong)
    assert abs(found.auroc - exact) <= share_near / 2 + 1e-12


@settings(max_examples=300)
@given(PIXELS, st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]))
def test_the_most_certain_pixels_are_those_up_to_the_quantile_and_within_the_resolution_of_it(pixels, share):
    found, values, is_wrong = found_of(pixels)
    quantile = float(np.quantile(values, share, method="lower"))
    num_right, num = found.most_certain(share)
    at_least, at_most = values <= quantile, values <= quantile * (1 + RESOLUTION)
    assert at_least.sum() <= num <= at_most.sum()
    assert (at_least & ~is_wrong).sum() <= num_right <= (at_most & ~is_wrong).sum()
    assert found.accuracy_of_most_certain(share) == num_right / num
    assert found.accuracy == pytest.approx(1 - is_wrong.mean())


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 63).map(lambda k: k / 8), st.booleans()), min_size=2, max_size=60))
def test_of_numbers_that_are_told_apart_all_is_exact(pixels):
    found, values, is_wrong = found_of(pixels)
    assert found.accuracy_of_most_certain(0.9) == pytest.approx(1 - is_wrong[values <= np.quantile(values, 0.9)].mean())
    if found.auroc is not None:
        assert found.auroc == pytest.approx(all_pairs(values, is_wrong)[0])


@settings(max_examples=40)
@given(PIXELS, PIXELS)
def test_images_are_added(first, second):
    both, one, other = (found_of(pixels)[0] for pixels in (first + second, first, second))
    total = one + other
    assert np.array_equal(total.right, both.right)
    assert np.array_equal(total.wrong, both.wrong)


@settings(max_examples=40)
@given(hnp.arrays(np.float32, 50, elements=st.floats(0, 7, width=32)))
def test_bins_are_in_the_order_of_the_numbers(values):
    bins = certainty._bins(np.sort(values))
    assert (np.diff(bins) >= 0).all()


def test_chunks_and_ignored_pixels_change_nothing(monkeypatch):
    draw = np.random.default_rng(0)
    mask, truth = draw.integers(0, 3, (2, 9, 7)).astype(np.uint8)
    uncertainty = draw.random((9, 7), dtype=np.float32)
    truth[2:4] = 255
    whole = certainty_of(mask, uncertainty, truth)
    monkeypatch.setattr(certainty, "_CHUNK_PIXELS", 10)
    parts = certainty_of(mask, uncertainty, truth)
    assert whole.right.sum() + whole.wrong.sum() == 49
    assert whole.right.sum() == (mask == truth)[truth != 255].sum()
    assert np.array_equal(whole.right, parts.right)
    assert np.array_equal(whole.wrong, parts.wrong)


def test_a_single_members_uncertainty_of_nothing_tells_nothing():
    minus = np.array([0.0, -0.0, 0.0, -0.0], dtype=np.float32)
    found = certainty_of(np.array([0, 0, 1, 1], dtype=np.uint8), minus, np.zeros(4, dtype=np.uint8))
    assert found.auroc == 0.5
    assert found.most_certain(0.9) == (2, 4)


def test_more_pairs_than_64_bits_count_are_counted():
    nothing = certainty_of(*(np.zeros(0, dtype=kind) for kind in (np.uint8, np.float32, np.uint8)))
    assert (nothing.auroc, nothing.accuracy, nothing.accuracy_of_most_certain(0.9)) == (None, None, None)
    nothing.right[[5, 9]], nothing.wrong[[9, 11]] = 10**12, 10**12
    assert nothing.auroc == pytest.approx(7 / 8)


@pytest.mark.parametrize("value", [-0.1, 8.0, np.nan, np.inf])
def test_numbers_that_are_no_uncertainty_are_refused(value):
    with pytest.raises(ValueError, match="not from 0 to 8 nats"):
        certainty_of(np.zeros(2, np.uint8), np.array([0, value], np.float32), np.zeros(2, np.uint8))
    with pytest.raises(ValueError, match="differ in shape"):
        certainty_of(np.zeros(2, np.uint8), np.zeros(3, np.float32), np.zeros(2, np.uint8))
