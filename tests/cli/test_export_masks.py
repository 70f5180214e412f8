from __future__ import annotations

import shutil

import numpy as np
import pytest

from hdgan.annotations.config import AnnotationsConfig
from hdgan.annotations.reader import AnnotationSet
from hdgan.annotations.stage import run_annotations

SETTINGS = """
[run]
name = "small"
[tiles]
slides = ["none"]
mpp = 2.0
tile_px = 32
[generator]
resolution = 32
[annotations]
train = 8
validate = 2
test = 6
class_map = "{classes}"
"""


@pytest.fixture
def root(small_run, tmp_path):
    """A run with samples and masks."""
    folder = tmp_path / "run"
    shutil.copytree(small_run.samples, folder / "3-samples")
    shutil.copytree(small_run.annotations, folder / "4-annotations")
    (folder / "config.toml").write_text(SETTINGS.format(classes=small_run.masks / "classes.json"))
    return folder


def test_outlines_that_were_written_come_back_as_the_same_masks(root, small_run, hdgan, tmp_path):
    code, out, error = hdgan("export-masks", root, tmp_path / "outlines")
    assert (code, error) == (0, "")
    assert "16 files of outlines" in out
    config = AnnotationsConfig(train=8, validate=2, test=6, class_map=small_run.masks / "classes.json")
    run_annotations(config, samples=small_run.samples, out=tmp_path / "again", seed=0, masks=tmp_path / "outlines")
    before, after = AnnotationSet(root / "4-annotations"), AnnotationSet(tmp_path / "again")
    assert [row.name for row in after.rows] == [row.name for row in before.rows]
    for row in before.rows:
        np.testing.assert_array_equal(after.mask(row.name), before.mask(row.name))


def test_a_folder_with_files_in_it_is_left_alone(root, refused, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "000000.geojson").write_text("corrected by hand")
    assert "is not empty; choose a new folder" in refused("export-masks", root, tmp_path / "mine")
    assert (tmp_path / "mine" / "000000.geojson").read_text() == "corrected by hand"


def test_a_run_without_masks_is_one_line(root, refused, tmp_path):
    shutil.rmtree(root / "4-annotations")
    assert "4-annotations" in refused("export-masks", root, tmp_path / "outlines")


def test_sheets_to_correct_by_lie_beside_the_outlines_and_do_not_come_back_as_masks(root, small_run, hdgan, tmp_path):
    code, out, error = hdgan("export-masks", root, tmp_path / "outlines", "--sheets", "5")
    assert (code, error) == (0, "")
    assert "4 pages to correct by" in out
    found = sorted(path.name for path in (tmp_path / "outlines" / "sheets").iterdir())
    assert found == ["corrections.json", *(f"page-0{i}.png" for i in range(1, 5))]
    config = AnnotationsConfig(train=8, validate=2, test=6, class_map=small_run.masks / "classes.json")
    manifest = run_annotations(config, samples=small_run.samples, out=tmp_path / "again", seed=0, masks=tmp_path / "outlines")
    assert manifest.counts["masks"] == 16
