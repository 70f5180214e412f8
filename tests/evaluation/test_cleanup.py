from __future__ import annotations

import numpy as np

from hdgan.evaluation.cleanup import cleanup_report, verdict
from hdgan.evaluation.counts import Counts
from hdgan.refinement.config import RefinementConfig


def counts(*, overlap):
    """Of one image of two classes, whose bands share `overlap` of 10 pixels."""
    matrices, bands = np.full((1, 2, 2), 5), np.array([[[overlap, overlap], [10, 10]]])
    return Counts(("000000",), matrices, matrices, bands, np.ones((1, 2)))


def report(**parts):
    return cleanup_report(
        RefinementConfig(), {part: (counts(overlap=before), counts(overlap=after)) for part, (before, after) in parts.items()}
    )


def test_validation_images_decide_whatever_both_test_sets_say():
    falls = report(validate=(5, 4), test=(5, 9), random=(5, 9))
    assert falls["is_better"] is False
    assert "leave it off" in verdict(falls)
    rises = report(validate=(5, 6), test=(5, 1), random=(5, 1))
    assert rises["is_better"] is True
    assert "[dataset.refinement]" in verdict(rises)


def test_without_validation_images_no_test_set_decides_in_their_place():
    found = report(test=(5, 9), random=(5, 9))
    assert found["is_better"] is None
    assert "it stays off" in verdict(found)


def test_each_part_has_its_scores_before_and_after():
    found = report(test=(5, 6), random=(2, 3))["parts"]
    assert {part: [row[when]["macro_boundary_iou"] for when in ("before", "after")] for part, row in found.items()} == {
        "test": [0.5, 0.6],
        "random": [0.2, 0.3],
    }
