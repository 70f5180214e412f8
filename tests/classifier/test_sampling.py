from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdgan.classifier.sampling import class_counts, draw_places, even, proportional

CAPACITIES = st.lists(st.integers(0, 200), min_size=1, max_size=8).map(np.array)


def masks() -> list[np.ndarray]:
    """Four masks: class 2 is rare and only in the first two; the last is mostly ignored."""
    draw = np.random.default_rng(0)
    made = [draw.choice(2, size=(32, 32), p=[0.7, 0.3]).astype(np.uint8) for _ in range(4)]
    made[0][3:6, 4:8] = 2
    made[1][10:14, 9:15] = 2
    made[3][4:] = 255
    return made


def labels_of(places) -> list[np.ndarray]:
    return [mask[rows, columns] for mask, (rows, columns) in zip(masks(), places, strict=True)]


def drawn(sampling: str, num: int, balance: float = 0.0, seed: int = 0):
    return draw_places(masks(), sampling=sampling, num=num, balance=balance, seed=seed, name="test")


@given(total=st.integers(0, 600), capacities=CAPACITIES)
def test_even_shares_give_all_that_is_asked_for_and_nobody_more_than_another_with_room(total, capacities):
    counts = even(total, capacities)
    assert counts.sum() == min(total, capacities.sum())
    assert (counts <= capacities).all()
    has_room = counts < capacities
    if has_room.any():
        assert counts[has_room].max() - counts[has_room].min() <= 1
        assert counts.max() <= counts[has_room].min() + 1


@given(total=st.integers(0, 600), capacities=CAPACITIES)
def test_proportional_shares_are_within_one_of_the_exact_ones(total, capacities):
    counts = proportional(total, capacities)
    assert counts.sum() == min(total, capacities.sum())
    assert (counts <= capacities).all()
    if 0 < total < capacities.sum():
        assert np.abs(counts - total * capacities / capacities.sum()).max() < 1


@pytest.mark.parametrize("sampling", ["uniform", "stratified", "balanced"])
@pytest.mark.parametrize("num", [16, 200, 5000])
def test_no_pixel_is_drawn_twice_and_none_that_is_ignored(sampling, num):
    places = drawn(sampling, num, balance=0.5)
    for (rows, columns), labels in zip(places, labels_of(places), strict=True):
        assert len(set(zip(rows.tolist(), columns.tolist(), strict=True))) == len(rows)
        assert (labels != 255).all()
    if sampling != "stratified" or num == 16:
        assert sum(len(rows) for rows, _ in places) == min(4 * num, sum(int((mask != 255).sum()) for mask in masks()))


def test_uniform_draws_from_images_by_their_labelled_pixels_and_stratified_the_same_number():
    assert [len(rows) for rows, _ in drawn("uniform", 100)] == [128, 128, 128, 16]
    assert [len(rows) for rows, _ in drawn("stratified", 100)] == [100] * 4


def test_balanced_draws_as_many_of_every_class_and_spreads_them_over_the_images_that_show_it():
    found = np.stack([np.bincount(labels, minlength=3) for labels in labels_of(drawn("balanced", 24))])
    assert found.sum(axis=0).tolist() == [32, 32, 32]
    assert found[:, 0].tolist() == [8, 8, 8, 8]
    assert found[:, 2].tolist() == [12, 20, 0, 0]  # the first image has no more


def test_a_class_with_too_few_pixels_gives_all_and_the_others_the_rest():
    found = np.bincount(np.concatenate(labels_of(drawn("balanced", 100))), minlength=3)
    assert found.tolist() == [182, 182, 36]


def test_the_draw_depends_on_the_seed_alone():
    for sampling in ("uniform", "stratified", "balanced"):
        one, two, other = drawn(sampling, 50), drawn(sampling, 50), drawn(sampling, 50, seed=1)
        assert all(np.array_equal(a, b) for p, q in zip(one, two, strict=True) for a, b in zip(p, q, strict=True))
        assert not all(np.array_equal(a, b) for p, q in zip(one, other, strict=True) for a, b in zip(p, q, strict=True))


def test_class_counts_leave_out_what_is_ignored():
    counts = class_counts(masks(), 4)
    assert counts.dtype == np.int64
    assert counts[2:].tolist() == [36, 0]
    assert counts.sum() == 3 * 1024 + 128
