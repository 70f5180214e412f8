from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hdgan.errors import BadMask
from hdgan.measures import confusion as module
from hdgan.measures.confusion import confusion

MASKS = hnp.arrays(np.uint8, (5, 6), elements=st.sampled_from([0, 1, 2, 255]))
PREDICTIONS = hnp.arrays(np.uint8, (5, 6), elements=st.integers(0, 2))


@given(MASKS, PREDICTIONS)
def test_every_pixel_is_counted_once_as_in_a_plain_loop(truth, prediction):
    plain = np.zeros((3, 3), dtype=int)
    for t, p in zip(truth.flat, prediction.flat, strict=True):
        if t != 255:
            plain[t, p] += 1
    counts = confusion(truth, prediction, 3)
    assert counts.dtype == np.int64
    assert np.array_equal(counts, plain)


def test_more_pixels_than_float32_can_count_are_counted():
    mask = np.zeros((4096, 4100), dtype=np.uint8)
    assert mask.size > 2**24
    total = confusion(mask, mask, 2) + confusion(mask[:1], mask[:1], 2)
    assert total[0, 0] == mask.size + 4100
    assert np.float32(2**24) + np.float32(1) == np.float32(2**24)  # what a float32 counter would do


@given(MASKS, PREDICTIONS, st.integers(1, 31))
def test_the_size_of_the_pieces_changes_no_count(truth, prediction, chunk):
    with pytest.MonkeyPatch.context() as patch:
        whole = confusion(truth, prediction, 3)
        patch.setattr(module, "_CHUNK_PIXELS", chunk)
        assert np.array_equal(confusion(truth, prediction, 3), whole)


def test_a_class_of_more_than_two_to_the_24_pixels_keeps_its_true_recall():
    """The authors' own test counted in float32: of 2^24 pixels and more the rest was lost, and every error kept."""
    truth = np.zeros((4096, 5120), dtype=np.uint8)
    prediction = truth.copy()
    prediction[: 4096 // 16] = 1
    counts = confusion(truth, prediction, 2)
    assert counts[0, 0] == truth.size * 15 // 16 > 2**24
    recall = counts[0, 0] / counts[0].sum()
    assert recall == 15 / 16
    in_float32 = np.minimum(counts[0], 2**24) / np.minimum(counts[0], 2**24).sum()
    assert in_float32[0] < recall - 0.005


def test_labels_that_are_no_class_and_unequal_sizes_are_refused():
    with pytest.raises(BadMask, match="label 7"):
        confusion(np.full((2, 2), 7, dtype=np.uint8), np.zeros((2, 2), dtype=np.uint8), 3)
    with pytest.raises(BadMask, match="differ in size"):
        confusion(np.zeros((2, 2), dtype=np.uint8), np.zeros((2, 3), dtype=np.uint8), 3)
