from __future__ import annotations

import shutil
from contextlib import closing

import numpy as np
import pytest

from hdgan.downstream.config import OracleConfig, RealSet
from hdgan.downstream.oracle import run_oracle
from hdgan.downstream.real import cut_real, open_regions
from hdgan.downstream.sets import INDEX, PairSets, run_real
from hdgan.errors import BadInput, DamagedArtifact, StaleStage
from hdgan.slides.reader import open_slide
from hdgan.store.atomic import read_mask, write_png
from hdgan.store.pairs import write_pair
from hdgan.store.stage import MANIFEST, open_stage, read_manifest, verify
from hdgan.tiles import apart
from tests.tiles import faults

from .conftest import CLASSES


def test_the_sets_of_a_slide_are_there_with_scale_and_origin(real_folder):
    sets = PairSets(real_folder)
    assert sets.names == ("fit", "oracle", "test")
    assert (sets.note.mpp, sets.note.tile_px, sets.note.is_same_patient) == (2.0, 32, True)
    assert "slide.png" in sets.note.origin
    assert sets.part("test").classes == CLASSES
    assert len(sets.part("test")) == 16
    assert read_manifest(real_folder).counts["test"] == 16
    assert verify(real_folder) == []


def test_tiles_are_the_stored_pairs_without_their_margin(real_folder):
    sets = PairSets(real_folder)
    folder, tiles = sets.part("oracle"), sets.tiles("oracle")
    assert folder.mask(folder.stems[0]).shape == (48, 48)
    assert tiles.masks[3].shape == (32, 32)
    np.testing.assert_array_equal(tiles.images[3], folder.image(folder.stems[3])[8:40, 8:40])


def test_what_is_current_is_left_alone_and_what_changed_is_named(real_folder, real_config, slide):
    inputs = {"slide": slide / "slide.png", "regions": {"ring": slide / "rings.png"}, "classes": CLASSES, "out": real_folder}
    before = (real_folder / "manifest.json").stat().st_mtime_ns
    run_real(real_config, **inputs, slide_mpp=1.0)
    assert (real_folder / "manifest.json").stat().st_mtime_ns == before
    with pytest.raises(StaleStage, match=r"config\.max_white"):
        run_real(real_config.model_copy(update={"max_white": 0.5}), **inputs, slide_mpp=1.0)


def test_a_set_that_stays_empty_is_refused(slide, real_config, tmp_path):
    narrow = real_config.model_copy(update={"sets": {"test": RealSet(rows=((0, 40),))}})
    with pytest.raises(BadInput, match="no tile is left for the set 'test'"):
        run_real(
            narrow, slide=slide / "slide.png", regions={"ring": slide / "rings.png"}, classes=CLASSES, out=tmp_path / "r", slide_mpp=1.0
        )


def test_pairs_are_those_of_a_slide_that_is_opened_here(real_folder, real_config, slide):
    with closing(open_slide(slide / "slide.png", mpp_override=1.0)) as opened:
        regions = {"ring": open_regions(slide / "rings.png", size_px=opened.size_px)}
        tiles = list(cut_real(opened, regions, real_config, classes=CLASSES))
    sets = PairSets(real_folder)
    assert len(tiles) == sum(len(sets.part(name)) for name in sets.names)
    for tile in tiles:
        np.testing.assert_array_equal(sets.part(tile.part).image(tile.stem), tile.image)
        np.testing.assert_array_equal(sets.part(tile.part).mask(tile.stem), tile.mask)


def test_a_reader_that_crashes_is_one_line_and_leaves_no_sets(slide, real_config, tmp_path, monkeypatch):
    monkeypatch.setattr(apart, "read_region", faults.read_region_but_for_bad)
    bad, out = tmp_path / "bad.png", tmp_path / "r"
    shutil.copy(slide / "slide.png", bad)
    with pytest.raises(BadInput, match=r"bad\.png: the process that read it was ended by signal 11 .*convert the slide"):
        run_real(real_config, slide=bad, regions={"ring": slide / "rings.png"}, classes=CLASSES, out=out, slide_mpp=1.0)
    assert not (out / INDEX).exists()
    assert not (out / "manifest.json").exists()


def test_missing_regions_are_refused_before_anything_is_written(slide, real_config, tmp_path):
    out = tmp_path / "r"
    with pytest.raises(BadInput, match="no such file of regions"):
        run_real(real_config, slide=slide / "slide.png", regions={"ring": slide / "none.png"}, classes=CLASSES, out=out, slide_mpp=1.0)
    assert not out.exists()


def given(real_folder, folder):
    """The sets as a folder that somebody gives: nothing of a stage but pairs and index."""
    shutil.copytree(real_folder, folder)
    (folder / MANIFEST).unlink()
    return folder


def test_masks_that_were_changed_in_a_given_folder_make_what_learnt_from_them_stale(real_folder, tmp_path):
    folder, out, config = given(real_folder, tmp_path / "pairs"), tmp_path / "oracle", OracleConfig()
    inputs = {"pairs": PairSets(folder).content_hash}
    with open_stage(out, stage="oracle", config=config.model_dump(mode="json"), seed=1, inputs=inputs) as stage:
        stage.seal(counts={})
    run_oracle(config, pairs=folder, out=out, seed=1)  # current
    path = next((folder / "oracle" / "masks").iterdir())
    mask = read_mask(path)
    mask[0, 0] = 1 - mask[0, 0]
    write_png(path, mask)
    with pytest.raises(StaleStage, match=r"inputs\.pairs"):
        run_oracle(config, pairs=folder, out=out, seed=1)


def test_pairs_that_others_left_in_a_set_are_not_taken_for_its_own(real_folder, tmp_path):
    folder = given(real_folder, tmp_path / "pairs")
    images, masks = PairSets(folder).tiles("test").images, PairSets(folder).tiles("test").masks
    write_pair(folder / "test", "left", images[0], masks[0])
    with pytest.raises(BadInput, match=r"test: holds 17 pairs, sets\.json says 16"):
        PairSets(folder).part("test")


def test_unknown_sets_and_broken_indices_are_refused(real_folder, tmp_path):
    with pytest.raises(BadInput, match="no set 'train'"):
        PairSets(real_folder).part("train")
    with pytest.raises(BadInput, match="cannot be read"):
        PairSets(tmp_path)
    (tmp_path / INDEX).write_text('{"schema": 1, "sets": []}')
    with pytest.raises(DamagedArtifact, match="no index of sets"):
        PairSets(tmp_path)
