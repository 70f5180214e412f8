from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from hdgan.annotations.config import AnnotationsConfig
from hdgan.annotations.smoothed import Meetings, meetings, smoothing_note
from hdgan.annotations.stage import run_annotations
from hdgan.progress import Silent


def smoothed(mask):
    """As a paint program leaves it that draws at four times the size and shrinks."""
    picture = Image.fromarray(mask)
    large = picture.resize((4 * picture.width, 4 * picture.height), Image.Resampling.NEAREST)
    return np.asarray(large.resize((picture.width + 1, picture.height + 1), Image.Resampling.BILINEAR))[:-1, :-1].copy()


@pytest.mark.parametrize(
    ("row", "at_once", "through_one"),
    [
        ([0, 0, 2, 2], 1, 0),
        ([0, 1, 2, 2], 0, 1),
        ([4, 3, 0, 0], 1, 1),
        ([0, 1, 1, 2], 0, 0),
        ([0, 255, 2, 2], 0, 0),
        ([0, 2, 255, 255], 1, 0),
    ],
)
def test_meetings_are_counted_along_rows_and_columns_alike(row, at_once, through_one):
    mask = np.array([row], np.uint8)
    assert meetings(mask) == meetings(mask.T) == Meetings(at_once, through_one)


@given(arrays(np.uint8, (7, 9), elements=st.sampled_from([0, 1, 2, 4, 255])))
def test_meetings_do_not_change_with_the_side_that_one_looks_from(mask):
    assert meetings(mask) == meetings(mask[::-1]) == meetings(mask[:, ::-1]) == meetings(mask.T)


@pytest.mark.parametrize("is_smoothed", [False, True])
def test_an_import_says_when_edges_look_smoothed(samples, masks, tmp_path, is_smoothed):
    for path in masks.iterdir():
        mask = np.asarray(Image.open(path)).copy()
        mask[mask == 255] = 0
        mask[10:20, 3:12] = 4
        Image.fromarray(smoothed(mask) if is_smoothed else mask).save(path)
    lines = []
    heard = Silent()
    heard.say = lines.append
    config = AnnotationsConfig(train=4, validate=2, test=3)
    run_annotations(config, samples=samples, masks=masks, out=tmp_path / "out", seed=1, progress=heard)
    assert any("antialiased" in line for line in lines) == is_smoothed


def test_a_few_thin_structures_are_no_smoothing():
    assert smoothing_note([Meetings(at_once=0, through_one=19)]) is None
    assert smoothing_note([Meetings(at_once=100, through_one=30)]) is None
    assert smoothing_note([Meetings(at_once=30, through_one=30)]) is not None
    assert smoothing_note([]) is None
