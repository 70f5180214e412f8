from __future__ import annotations

import numpy as np
import pytest

from hdgan.annotations.audit import Audit, count_pixels
from hdgan.labels import KIDNEY


def audited(*masks):
    counted = {f"{number:06d}": count_pixels(np.array(mask, np.uint8), KIDNEY) for number, mask in enumerate(masks)}
    split = {"train": tuple(counted)[:1], "validate": (), "test": tuple(counted)[1:]}
    return Audit(KIDNEY, split, {name: pixels for name, (pixels, _) in counted.items()}, {name: num for name, (_, num) in counted.items()})


def test_what_a_part_lacks_is_said_with_what_follows():
    lines = audited([[0, 1, 2, 3]], [[0, 1, 4, 255]]).warnings()
    assert lines == [
        "the train part has no pixel of 'artery': the classifier cannot learn that",
        "the test part has no pixel of 'glomerulus', 'arteriole': nothing is measured of that",
    ]


@pytest.mark.parametrize(("mask", "is_told"), [([[2, 255, 255]], True), ([[2, 2, 2]], False), ([[2, 1, 255]], False)])
def test_masks_in_which_all_but_one_class_is_255_are_told_how_they_are_meant(mask, is_told):
    lines = audited(mask, mask).warnings()
    assert any("all labelled pixels are 'glomerulus'" in line and "annotations.background" in line for line in lines) == is_told
