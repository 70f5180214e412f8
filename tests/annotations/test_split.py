from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdgan.annotations.split import PARTS, missing_classes, split_names
from hdgan.errors import BadInput

SIZES = {"train": 16, "validate": 4, "test": 16}


def presence_of(num, rare=()):
    return {f"{i:06d}": frozenset({0, 1, *(value for value, names in enumerate(rare, start=2) if i in names)}) for i in range(num)}


@given(st.integers(36, 60), st.integers(0, 2**31))
def test_the_parts_have_their_sizes_and_share_no_image(num, seed):
    split = split_names(presence_of(num), sizes=SIZES, seed=seed)
    assert {part: len(split[part]) for part in PARTS} == SIZES
    assert len(set().union(*split.values())) == 36
    assert all(list(split[part]) == sorted(split[part]) for part in PARTS)


@given(st.integers(0, 2**31), st.integers(0, 35), st.integers(0, 34), st.integers(0, 33))
def test_every_class_trains_and_a_class_of_two_images_is_also_tested(seed, only, first, second):
    rare = ((only,), tuple({first, 35}), tuple({second, 34, 35}))
    split = split_names(presence_of(36, rare), sizes=SIZES, seed=seed)
    missing = missing_classes(presence_of(36, rare), split, num_classes=5)
    assert missing["train"] == ()
    assert 3 not in missing["test"]


@given(st.integers(0, 2**31), st.integers(3, 33), st.integers(0, 2**31))
def test_the_images_of_a_class_are_dealt_by_the_sizes_of_the_parts(seed, num, chosen):
    names = [f"{i:06d}" for i in range(36)]
    with_it = set(np.random.default_rng(chosen).permutation(names)[:num])
    present = {name: frozenset({0, 1}) if name in with_it else frozenset({0}) for name in names}
    split = split_names(present, sizes=SIZES, seed=seed)
    for part, size in SIZES.items():
        assert abs(sum(name in with_it for name in split[part]) - num * size / 36) <= 1


def test_the_same_seed_gives_the_same_split_whatever_the_order_of_the_names():
    names = presence_of(40)
    turned = dict(reversed(names.items()))
    assert split_names(names, sizes=SIZES, seed=3) == split_names(turned, sizes=SIZES, seed=3)
    assert split_names(names, sizes=SIZES, seed=3) != split_names(names, sizes=SIZES, seed=4)


def test_too_few_masks_are_refused_with_the_number_needed():
    with pytest.raises(BadInput, match="30 found, a split 16/4/16 needs 36"):
        split_names(presence_of(30), sizes=SIZES, seed=0)


def test_a_class_that_nobody_drew_is_missing_everywhere():
    split = split_names(presence_of(36), sizes=SIZES, seed=0)
    assert missing_classes(presence_of(36), split, num_classes=3) == {"train": (2,), "validate": (2,), "test": (2,)}


def test_one_training_image_is_the_one_with_the_rarest_class():
    split = split_names(presence_of(5, rare=((4,),)), sizes={"train": 1, "validate": 0, "test": 2}, seed=1)
    assert split["train"] == ("000004",)
    assert split["validate"] == ()


@given(st.integers(0, 2**31), st.integers(1, 10))
def test_images_drawn_at_random_are_a_part_of_their_own_and_change_none_of_the_others(seed, num):
    present = presence_of(50)
    drawn = tuple(f"{i:06d}" for i in (49, 3, 17, 40, 41, 42, 43, 44, 45, 46, 99))
    split = split_names(present, sizes=SIZES, seed=seed, at_random=drawn, num_random=num)
    assert split["random"] == tuple(sorted(drawn[:num]))
    others = {name for part in PARTS for name in split[part]}
    assert len(others) == 36
    assert not others & set(drawn)
    alone = split_names({name: present[name] for name in present if name not in drawn}, sizes=SIZES, seed=seed)
    assert {part: split[part] for part in PARTS} == alone
    assert missing_classes(present, split, num_classes=3)["random"] == (2,)


def test_without_a_random_part_the_split_is_what_it_always_was():
    drawn = ("000001", "000002")
    assert split_names(presence_of(40), sizes=SIZES, seed=3, at_random=drawn) == split_names(presence_of(40), sizes=SIZES, seed=3)


def test_too_few_annotated_images_of_those_drawn_at_random_are_refused():
    with pytest.raises(BadInput, match=r"1 of the samples that were drawn at random are annotated, annotations\.random_test asks for 2"):
        split_names(presence_of(40), sizes=SIZES, seed=0, at_random=("000001", "000077"), num_random=2)
    with pytest.raises(BadInput, match=r"35 found beside those drawn at random, a split 16/4/16 needs 36"):
        split_names(presence_of(37), sizes=SIZES, seed=0, at_random=("000001", "000002"), num_random=1)


@given(st.integers(0, 2**31), st.integers(1, 8))
def test_suggested_images_train_beyond_the_sizes_and_move_no_other_image(seed, more):
    suggested = {f"9{i:05d}": frozenset({0, 2}) for i in range(more)}
    plain = split_names(presence_of(36, ((1, 5),)), sizes=SIZES, seed=seed)
    found = split_names(presence_of(36, ((1, 5),)) | suggested, sizes=SIZES, seed=seed, only_train=[*suggested, "not annotated"])
    assert found == plain | {"train": (*plain["train"], *sorted(suggested))}


def test_suggested_images_do_not_fill_parts_that_lack_some():
    suggested = {f"9{i:05d}": frozenset({0}) for i in range(9)}
    with pytest.raises(BadInput, match="30 found beside those suggested by hdgan, a split 16/4/16 needs 36"):
        split_names(presence_of(30) | suggested, sizes=SIZES, seed=0, only_train=suggested)
