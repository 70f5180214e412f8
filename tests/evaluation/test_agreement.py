from __future__ import annotations

import json

import numpy as np
import pytest

from hdgan.annotations.reader import AnnotationSet
from hdgan.evaluation.agreement import NUM_PANELS, Agreement, agreement_report, build_agreement_page
from hdgan.measures.confusion import confusion
from hdgan.measures.scores import kappa, score
from hdgan.store.bank import SampleBank


@pytest.fixture
def annotated(small_run):
    return AnnotationSet(small_run.annotations)


def image_of(small_run, name):
    bank = SampleBank(small_run.samples)
    return bank.image(bank.by_name(name).index)


def compared(small_run, annotated, drawn):
    found = Agreement()
    for name, mask in drawn.items():
        found.note(annotated, name, mask, image_of(small_run, name), distance_px=1.0)
    return found, agreement_report(found, annotated, annotators=("one", "two"), also=["000099"], distance_px=1.0, seed=0)


def test_only_pixels_that_both_labelled_are_compared_and_the_others_are_counted(small_run, annotated):
    one, two = annotated.names[:2]
    drawn = {one: annotated.mask(one).copy(), two: annotated.mask(two)}
    drawn[one][:4] = 255
    drawn[one][10:12] = 1 - drawn[one][10:12]
    found, report = compared(small_run, annotated, drawn)
    first = annotated.mask(one).copy()
    first[:4] = 255
    by_hand = confusion(first, np.where(drawn[one] == 255, np.uint8(0), drawn[one]), 3) + confusion(
        annotated.mask(two), annotated.mask(two), 3
    )
    assert report["agreement"]["confusion"] == by_hand.tolist()
    assert report["labelled"] == {"both": 2 * 32 * 32 - 4 * 32, "first_only": 4 * 32, "second_only": 0}
    assert report["agreement"]["pooled"]["pixel_accuracy"] == pytest.approx(1 - 2 * 32 / (2 * 32 * 32 - 4 * 32))
    assert report["kappa"] == pytest.approx(kappa(by_hand))
    assert report["images"] == [one, two]
    assert report["by_one_only"] == {"first": list(annotated.names[2:]), "second": ["000099"]}
    assert json.loads(json.dumps(report)) == report
    shown = found.panels[0]  # what one of them left out is black in both
    assert (shown.prediction[:4] == 255).all()
    assert (shown.truth[:4] == 255).all()
    assert (shown.prediction[4:] != 255).all()


def test_the_numbers_are_the_same_whoever_comes_first(small_run, annotated, monkeypatch):
    names = annotated.names[:3]
    draw = np.random.default_rng(0)
    second = {
        name: np.where(draw.random((32, 32)) < 0.2, 1 - annotated.mask(name), annotated.mask(name)).astype(np.uint8) for name in names
    }
    first = {name: annotated.mask(name) for name in names}
    _, report = compared(small_run, annotated, second)
    monkeypatch.setattr(annotated, "mask", second.__getitem__)
    _, turned = compared(small_run, annotated, first)
    for key in ("dice", "iou"):
        assert report["agreement"]["pooled"]["per_class"][key] == turned["agreement"]["pooled"]["per_class"][key]
    assert report["agreement"]["boundary"] == turned["agreement"]["boundary"]
    assert report["kappa"] == pytest.approx(turned["kappa"])
    assert np.array_equal(np.array(report["agreement"]["confusion"]).T, turned["agreement"]["confusion"])
    assert report["agreement"]["pooled"]["per_class"]["recall"] == turned["agreement"]["pooled"]["per_class"]["precision"]


def test_the_page_shows_the_least_agreed_on_images_first_and_names_both(small_run, annotated):
    names = annotated.names[: NUM_PANELS + 2]
    draw = np.random.default_rng(0)
    drawn = {}
    for number, name in enumerate(names):
        is_other = draw.random((32, 32)) < number / 40
        drawn[name] = np.where(is_other, 1 - annotated.mask(name), annotated.mask(name)).astype(np.uint8)
    found, report = compared(small_run, annotated, drawn)
    assert len(found.panels) == NUM_PANELS
    dice = [score(confusion(panel.prediction, panel.truth, 3)).macro_dice for panel in found.panels]
    assert dice == sorted(dice)
    page = build_agreement_page(report, annotated.classes, found.panels)
    assert "First: one. Second: two." in page
    assert found.panels[0].name == names[-1]
    assert f"The {NUM_PANELS} images with the lowest macro Dice between both." in page
    assert "What the first calls dark the second calls bright: " in page


def test_masks_that_agree_everywhere_are_fully_agreed_on(small_run, annotated):
    found, report = compared(small_run, annotated, {name: annotated.mask(name) for name in annotated.names[:2]})
    assert (report["kappa"], report["agreement"]["pooled"]["macro"]["dice"], report["agreement"]["boundary"]["macro_iou"]) == (
        1.0,
        1.0,
        1.0,
    )
    assert report["agreement"]["confusions"] == []
    assert "does not count" in build_agreement_page(report, annotated.classes, found.panels)
