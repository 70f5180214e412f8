from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from hdgan.annotations.config import AnnotationsConfig
from hdgan.annotations.export import export_geojson
from hdgan.annotations.reader import AnnotationSet
from hdgan.annotations.stage import run_annotations
from hdgan.errors import BadMask, DamagedArtifact, StaleStage
from hdgan.store.stage import verify
from tests.annotations.painted import EDGE_PX, drawn_mask


def imported(samples, masks, out, *, redo=False):
    return run_annotations(AnnotationsConfig(train=4, validate=2, test=3), samples=samples, masks=masks, out=out, seed=1, redo=redo)


@pytest.fixture
def marked(masks):
    """Marks of two samples, in two ways of writing them."""
    (masks / "blends").mkdir()
    levels = np.zeros((EDGE_PX, EDGE_PX), np.uint8)
    levels[9:11] = 1
    Image.fromarray(levels).save(masks / "blends" / "000002.png")
    Image.fromarray(levels.T * 200).save(masks / "blends" / "000005.png")
    return masks


def test_marks_come_back_where_they_were_made_and_masks_keep_their_labels(samples, marked, tmp_path):
    imported(samples, marked, tmp_path / "out")
    annotated = AnnotationSet(tmp_path / "out")
    expected = np.zeros((EDGE_PX, EDGE_PX), bool)
    expected[9:11] = True
    assert np.array_equal(annotated.blend("000002"), expected)
    assert np.array_equal(annotated.blend("000005"), expected.T)
    assert not annotated.blend("000003").any()
    assert np.array_equal(annotated.mask("000002"), drawn_mask(2))
    assert verify(tmp_path / "out") == []


def test_an_import_without_marks_is_what_it_was_before_there_were_any(samples, masks, tmp_path):
    without = imported(samples, masks, tmp_path / "a")
    rows = json.loads((tmp_path / "a" / "annotations.json").read_text())["annotations"]
    assert {frozenset(row) for row in rows} == {frozenset(("name", "mask_hash", "image_hash", "annotator"))}
    (masks / "blends").mkdir()
    assert imported(samples, masks, tmp_path / "b") == without


def test_marks_that_change_make_the_import_stale(samples, marked, tmp_path):
    imported(samples, marked, tmp_path / "out")
    Image.fromarray(np.zeros((EDGE_PX, EDGE_PX), np.uint8)).save(marked / "blends" / "000002.png")
    with pytest.raises(StaleStage, match=r"inputs\.masks"):
        imported(samples, marked, tmp_path / "out")


def test_stored_marks_that_were_altered_are_noticed(samples, marked, tmp_path):
    imported(samples, marked, tmp_path / "out")
    Image.fromarray(np.zeros((EDGE_PX, EDGE_PX), np.uint8)).save(tmp_path / "out" / "blends" / "000002.png")
    with pytest.raises(DamagedArtifact, match="has changed"):
        AnnotationSet(tmp_path / "out").blend("000002")


@pytest.mark.parametrize(
    ("name", "picture", "reason"),
    [
        ("000099", np.zeros((EDGE_PX, EDGE_PX), np.uint8), "there is no mask '000099'"),
        ("000001", np.zeros((EDGE_PX, EDGE_PX + 1), np.uint8), "its image has 24 x 24 px"),
        ("000001", np.zeros((EDGE_PX, EDGE_PX, 3), np.uint8), "RGB is no index mask"),
    ],
)
def test_marks_that_do_not_fit_are_refused_and_nothing_is_written(samples, marked, tmp_path, name, picture, reason):
    Image.fromarray(picture).save(marked / "blends" / f"{name}.png")
    with pytest.raises(BadMask, match=reason):
        imported(samples, marked, tmp_path / "out")
    assert not (tmp_path / "out" / "annotations.json").exists()


def test_marks_in_capitals_are_read_and_those_of_another_type_are_not_passed_over(samples, marked, tmp_path):
    (marked / "blends" / "000002.png").rename(marked / "blends" / "000002.PNG")
    imported(samples, marked, tmp_path / "out")
    assert AnnotationSet(tmp_path / "out").blend("000002").any()
    Image.fromarray(np.zeros((EDGE_PX, EDGE_PX), np.uint8)).save(marked / "blends" / "000003.tif")
    with pytest.raises(BadMask, match=r"000003\.tif: marks of type \.tif are not read"):
        imported(samples, marked, tmp_path / "other")


def test_outlines_that_were_exported_and_corrected_bring_their_marks_back(samples, marked, tmp_path):
    out, outlines = tmp_path / "out", tmp_path / "outlines"
    imported(samples, marked, out)
    before = {name: AnnotationSet(out).blend(name) for name in ("000002", "000005")}
    assert len(export_geojson(out, out=outlines)) == 10
    imported(samples, outlines, out, redo=True)
    for name, marks in before.items():
        assert np.array_equal(AnnotationSet(out).blend(name), marks)


def test_no_redo_loses_what_was_marked(samples, marked, masks, tmp_path):
    imported(samples, marked, tmp_path / "out")
    drawn = {(marked / "blends" / f"{name}.png").read_bytes() for name in ("000002", "000005")}
    shutil.rmtree(masks / "blends")
    imported(samples, masks, tmp_path / "out", redo=True)
    assert not (tmp_path / "out" / "blends").exists()
    assert {path.read_bytes() for path in (tmp_path / "out" / "keep" / "history" / "blends").iterdir()} == drawn
