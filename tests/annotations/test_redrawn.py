from __future__ import annotations

import shutil

import numpy as np
import pytest
from PIL import Image

from hdgan.annotations.config import AnnotationsConfig
from hdgan.annotations.reader import AnnotationSet
from hdgan.annotations.stage import run_annotations
from hdgan.errors import BadMask
from hdgan.store.atomic import read_json, write_json, write_png
from hdgan.store.bank import IMAGES, SampleBank, SampleRow, write_index, write_latents
from hdgan.store.hashing import hash_array
from hdgan.store.stage import open_stage
from tests.annotations.painted import EDGE_PX, tree

SIZES = {"train": 4, "validate": 2, "test": 3}


def imported(samples, masks, out, **settings):
    return run_annotations(AnnotationsConfig(**SIZES, **settings), samples=samples, masks=masks, out=out, seed=1, redo=True)


@pytest.fixture
def redraw(samples):
    """Draws the bank again, with another picture under each name that is given."""

    def again(*names):
        bank = SampleBank(samples)
        images = [bank.image(row.index) for row in bank.rows]
        shutil.rmtree(samples)
        with open_stage(samples, stage="samples", config={"psi": 0.5}, seed=5, inputs={}) as stage:
            rows = []
            for row, image in zip(bank.rows, images, strict=True):
                drawn = image[::-1].copy() if row.name in names else image
                write_png(stage.path / IMAGES / f"{row.name}.png", drawn)
                rows.append(SampleRow(row.index, row.name, 5, hash_array(drawn), row.latent_hash, "g", 0.5))
            write_latents(stage.path, z=np.zeros((len(rows), 4), np.float32), w=np.zeros((len(rows), 4), np.float32))
            write_index(stage.path, rows, mpp=0.5, resolution=EDGE_PX)
            stage.seal(counts={"samples": len(rows)})

    return again


@pytest.fixture
def out(tmp_path):
    return tmp_path / "4-annotations"


def test_masks_of_the_images_before_are_not_taken_for_those_that_have_their_names_now(samples, masks, out, redraw):
    imported(samples, masks, out)
    redraw("000002", "000005", "000007")
    before = tree(out)
    with pytest.raises(BadMask, match=r"000002\.png: was imported before, for another image of this name, as 2 more were: .* drawn anew"):
        imported(samples, masks, out)
    assert tree(out) == before


def test_masks_of_images_that_were_drawn_again_as_they_were_are_imported_again(samples, masks, out, redraw):
    imported(samples, masks, out)
    redraw()
    imported(samples, masks, out)


def test_a_mask_that_was_drawn_anew_is_imported_and_so_is_one_that_the_sidecar_ties_to_the_image(samples, masks, out, redraw):
    imported(samples, masks, out)
    redraw("000002", "000005")
    Image.fromarray(np.asarray(Image.open(masks / "000002.png"))[::-1].copy()).save(masks / "000002.png")
    write_json(masks / "masks.json", {"000005": {"image_hash": SampleBank(samples).by_name("000005").image_hash}})
    imported(samples, masks, out)
    for name in ("000002", "000005"):
        assert AnnotationSet(out).row(name).image_hash == SampleBank(samples).by_name(name).image_hash


def test_a_mask_of_one_class_alone_may_be_that_of_any_image(samples, masks, out, redraw):
    Image.fromarray(np.ones((EDGE_PX, EDGE_PX), np.uint8)).save(masks / "000002.png")
    imported(samples, masks, out)
    redraw("000002")
    imported(samples, masks, out)


def test_it_is_the_proposal_that_counts_where_somebody_corrected_it(samples, masks, out, redraw, tmp_path):
    corrections = tmp_path / "corrections"
    corrections.mkdir()
    square = {"type": "Polygon", "coordinates": [[[0, 0], [3, 0], [3, 3], [0, 3], [0, 0]]]}
    region = {"type": "Feature", "geometry": square, "properties": {"classification": {"name": "artery"}}}
    write_json(corrections / "000002.geojson", {"type": "FeatureCollection", "features": [region]})
    imported(samples, masks, out, corrections=corrections)
    assert read_json(out / "corrections.json")["totals"]["images_changed"] == 1
    redraw("000002")
    with pytest.raises(BadMask, match=r"000002\.png: was imported before"):
        imported(samples, masks, out, corrections=corrections)


def test_an_earlier_import_that_cannot_be_read_stands_in_nobodys_way(samples, masks, out, redraw):
    imported(samples, masks, out)
    (out / "annotations.json").write_text("[")
    redraw("000002")
    imported(samples, masks, out)
