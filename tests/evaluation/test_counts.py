from __future__ import annotations

import numpy as np
import pytest

from hdgan.evaluation.cleanup import cleanup_report, verdict
from hdgan.evaluation.compare import macro_hd95, method_report, worst_first
from hdgan.evaluation.counts import count
from hdgan.labels import ClassMap, LabelClass
from hdgan.measures.boundary import boundary_iou
from hdgan.measures.scores import score
from hdgan.refinement.config import RefinementConfig

CLASSES = ClassMap((LabelClass("ground", "#000000"), LabelClass("arteriole", "#ff0000"), LabelClass("glomerulus", "#0000ff")))


class Drawn:
    """Two annotated images of 20 px: an arteriole beside a glomerulus; in the second the seam between them is marked as a blend."""

    classes = CLASSES

    def mask(self, name):
        mask = np.zeros((20, 20), np.uint8)
        mask[5:15, 4:8] = 1
        mask[5:15, 8:16] = 2
        if name == "b":
            mask[:2] = 255
        return mask

    def blend(self, name):
        marked = np.zeros((20, 20), bool)
        if name == "b":
            marked[5:15, 6:10] = True
        return marked


def shifted(name):
    """The seam two pixels too far to the left."""
    mask = Drawn().mask(name)
    mask[mask == 255] = 0
    mask[5:15, 6:8] = 2
    return mask


@pytest.fixture(scope="module")
def counts():
    return count(shifted, Drawn(), ["a", "b"], distance_px=2.0)


@pytest.fixture(scope="module")
def report(counts):
    return method_report(counts, CLASSES, distance_px=2.0, mpp=0.5, resamples=20, seed=0)


def test_counts_are_those_of_each_image(counts):
    assert counts.matrices.sum(axis=(1, 2)).tolist() == [400, 360]
    assert counts.matrices[:, 1, 2].tolist() == [20, 20]
    for index, name in enumerate("ab"):
        both, either = counts.bands[index]
        expected = boundary_iou(Drawn().mask(name), shifted(name), 3, distance_px=2.0)
        assert both / either == pytest.approx(expected)


def test_without_blends_the_marked_pixels_alone_are_left_out(counts, report):
    assert counts.has_blends
    assert counts.clear[1, 1, 2] == 0
    assert np.array_equal(counts.clear[0], counts.matrices[0])
    clear = report["without_blends"]
    assert clear["num_blended"] == 40
    assert clear["num_pixels"] == 720
    assert clear["macro"]["dice"] > report["pooled"]["macro"]["dice"]


def test_the_confusion_is_named_as_in_the_paper(report):
    (only,) = report["confusions"]
    assert only == {"truth": "arteriole", "taken_for": "glomerulus", "pixels": 40, "share": 0.5}


def test_distances_are_medians_in_px_and_um(report):
    boundary = report["boundary"]
    assert boundary["hd95_px"][1] == 2.0
    assert boundary["hd95_um"][1] == 1.0
    assert boundary["images_with_contour"] == [2, 2, 2]
    assert boundary["images_with_one_contour"] == [0, 0, 0]


def test_a_class_that_is_mostly_missed_is_infinitely_far_and_a_single_miss_is_not():
    assert macro_hd95(np.array([[1.0], [np.inf], [3.0]])) == 3.0
    assert np.isinf(macro_hd95(np.array([[1.0], [np.inf], [np.inf]])))
    assert macro_hd95(np.array([[2.0, np.nan], [4.0, np.nan]])) == 4.0
    assert np.isnan(macro_hd95(np.full((2, 1), np.nan)))


def test_equal_images_stand_in_the_order_of_their_names(report):
    assert worst_first(report)[0] == min(report["per_image"], key=lambda name: report["per_image"][name]["macro"]["dice"])
    rows = {name: {"macro": {"dice": dice}} for name, dice in (("c", 0.5), ("a", 0.5), ("b", None))}
    assert worst_first({"per_image": rows}) == ["a", "c", "b"]


def test_only_validation_images_decide_on_the_clean_up():
    bad, good = (count(predict, Drawn(), ["a"], distance_px=2.0) for predict in (shifted, Drawn().mask))
    assert score(good.matrices[0]).macro_dice == 1
    config = RefinementConfig()
    better = cleanup_report(config, {"validate": (bad, good), "test": (good, bad)})
    worse = cleanup_report(config, {"validate": (good, bad), "test": (bad, good)})
    unknown = cleanup_report(config, {"test": (bad, good)})
    assert (better["is_better"], worse["is_better"], unknown["is_better"]) == (True, False, None)
    assert "dataset.refinement" in verdict(better)
    assert "leave it off" in verdict(worse)
    assert "stays off" in verdict(unknown)
    assert better["parts"]["test"]["before"]["macro_boundary_iou"] == 1
    same = cleanup_report(config, {"validate": (good, good)})
    assert same["is_better"] is False
