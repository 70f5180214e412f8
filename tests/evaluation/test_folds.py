from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdgan.annotations.reader import AnnotationSet
from hdgan.errors import BadConfig
from hdgan.evaluation.folds import cross_validate, deal_folds, lacking
from hdgan.labels import KIDNEY
from hdgan.progress import Silent

PRESENT = st.dictionaries(st.text("abcdefgh", min_size=1, max_size=4), st.frozensets(st.integers(0, 3)), min_size=2, max_size=20)


@settings(max_examples=60)
@given(PRESENT, st.integers(2, 6), st.integers(0, 3))
def test_every_image_is_in_one_part_and_parts_are_of_equal_size(present, num, seed):
    if num > len(present):
        with pytest.raises(BadConfig, match=f"{num} parts of {len(present)}"):
            deal_folds(present, num=num, seed=seed)
        return
    parts = deal_folds(present, num=num, seed=seed)
    assert sorted(name for part in parts for name in part) == sorted(present)
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1
    assert deal_folds(dict(reversed(present.items())), num=num, seed=seed) == parts


def test_a_rare_class_that_as_many_images_show_as_there_are_parts_is_in_each():
    for seed in range(20):
        present = {f"{i:02d}": frozenset({0, 1} | ({3} if i in (2, 3, 5, 7) else set())) for i in range(16)}
        parts = deal_folds(present, num=4, seed=seed)
        assert [sum(3 in present[name] for name in part) for part in parts] == [1, 1, 1, 1]


def test_the_seed_decides_which_images_stand_together():
    present = {f"{i:02d}": frozenset({0}) for i in range(12)}
    assert deal_folds(present, num=3, seed=0) != deal_folds(present, num=3, seed=1)


def test_classes_that_nobody_drew_are_not_missed():
    present = {"a": frozenset({0, 4}), "b": frozenset({0})}
    assert lacking(["b"], present, KIDNEY) == ["artery"]
    assert lacking(["a"], present, KIDNEY) == []


class Heard(Silent):
    def __init__(self):
        self.lines = []

    def say(self, line):
        self.lines.append(line)


def test_no_part_is_tested_by_what_saw_it_and_a_missing_class_is_said_aloud(small_run):
    annotated = AnnotationSet(small_run.annotations)
    asked = []

    def fit(train, validate):
        asked.append((set(train), set(validate)))
        return annotated.mask  # as if it were perfect

    heard = Heard()
    report = cross_validate(fit, annotated, num=4, distance_px=1.0, seed=0, progress=heard)
    for (train, validate), part in zip(asked, report["parts"], strict=True):
        assert not train & validate
        assert not (train | validate) & set(part["test"])
        assert train | validate | set(part["test"]) == set(annotated.names)
    assert report["pooled"]["pixel_accuracy"] == report["macro_boundary_iou"] == report["mean"]["macro_dice"] == 1
    assert report["spread"]["macro_dice"] == 0
    assert heard.lines == []


def test_a_part_without_a_class_warns(small_run, monkeypatch):
    annotated = AnnotationSet(small_run.annotations)
    truth = {name: np.zeros((32, 32), np.uint8) for name in annotated.names}
    truth[annotated.names[0]][0] = 2
    monkeypatch.setattr(annotated, "mask", truth.__getitem__)
    heard = Heard()
    report = cross_validate(lambda *_: truth.__getitem__, annotated, num=2, distance_px=1.0, seed=0, progress=heard)
    where = [index for index, part in enumerate(report["parts"]) if annotated.names[0] in part["test"]]
    assert report["parts"][where[0]]["missing"] == {"train": ["never seen"], "test": []}
    assert report["parts"][1 - where[0]]["missing"] == {"train": [], "test": ["never seen"]}
    assert len(heard.lines) == 2
    assert any("no never seen in its train images" in line for line in heard.lines)


def test_a_class_that_is_missing_where_epochs_are_chosen_warns_too(small_run, monkeypatch):
    annotated = AnnotationSet(small_run.annotations)
    rare, twin = annotated.names[0], annotated.names[5]
    truth = {name: np.zeros((32, 32), np.uint8) for name in annotated.names}
    truth[rare][0] = truth[twin][0] = 2
    monkeypatch.setattr(annotated, "mask", truth.__getitem__)
    heard, asked = Heard(), []

    def fit(_, validate):
        asked.append(validate)
        return truth.__getitem__

    report = cross_validate(fit, annotated, num=4, distance_px=1.0, seed=0, progress=heard)
    for number, (validate, part) in enumerate(zip(asked, report["parts"], strict=True), start=1):
        is_lacking = not {rare, twin} & set(validate)
        assert part["missing"]["validate"] == (["never seen"] if is_lacking else [])
        assert (f"part {number} of 4: no never seen in its validation images" in heard.lines) == is_lacking
    assert {tuple(part["missing"]["validate"]) for part in report["parts"]} == {("never seen",), ()}
