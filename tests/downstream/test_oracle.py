from __future__ import annotations

import json

import numpy as np
import pytest

from hdgan.downstream.config import OracleConfig, SegmenterConfig
from hdgan.downstream.oracle import SIDECAR, draw_masks, run_masks, run_oracle
from hdgan.downstream.segmenter import FILE, load_segmenter
from hdgan.downstream.sets import PairSets
from hdgan.errors import BadConfig, BadInput
from hdgan.store.atomic import read_mask, write_png
from hdgan.store.bank import SampleBank, SampleRow, sample_name, write_index, write_latents
from hdgan.store.hashing import hash_array
from hdgan.store.stage import read_manifest, verify

from .conftest import CLASSES

SMALL = SegmenterConfig(channels=(8, 8, 8), num_res_units=1, dropout=0, steps=110, batch=8, learning_rate=1e-2, stain=0.02, blur_px=0.3)
CONFIG = OracleConfig(name="oracle (rings)", segmenter=SMALL)


@pytest.fixture(scope="module")
def oracle(real_folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("oracle") / "oracle"
    run_oracle(CONFIG, pairs=real_folder, out=out, seed=1)
    return out


@pytest.fixture
def bank(real_folder, tmp_path):
    """Five tiles of the test block, as if they had been generated."""
    tiles = PairSets(real_folder).tiles("test")
    folder = tmp_path / "bank"
    rows = []
    for index in range(5):
        write_png(folder / "images" / f"{sample_name(index)}.png", tiles.images[index])
        rows.append(SampleRow(index, sample_name(index), 0, hash_array(tiles.images[index]), "", "", 0.7))
    write_latents(folder, z=np.zeros((5, 2)), w=np.zeros((5, 2)))
    write_index(folder, rows, mpp=2.0, resolution=32)
    return folder


def test_its_held_out_dice_is_stated_with_what_it_means(oracle):
    report = json.loads((oracle / "report.json").read_text())
    assert report["annotator"] == "oracle (rings)"
    assert report["is_same_patient"]
    assert any("same patient" in line for line in report["remarks"])
    scores = {row["class"]: row for row in report["held_out"]["classes"]}
    assert scores["ring"]["dice"] > 0.85
    low, high = scores["ring"]["dice_interval"]
    assert low <= scores["ring"]["dice"] <= high
    assert scores["never"]["dice"] is None
    assert report["held_out"]["num_images"] == 16
    assert verify(oracle) == []
    assert not (oracle / "state").exists()


def test_it_sees_no_more_than_a_tile(oracle, real_folder):
    assert load_segmenter(oracle / FILE).crop_px == PairSets(real_folder).note.tile_px


def test_training_it_again_gives_the_same_bytes(oracle, real_folder, tmp_path):
    run_oracle(CONFIG, pairs=real_folder, out=tmp_path / "again", seed=1)
    assert read_manifest(tmp_path / "again").outputs == read_manifest(oracle).outputs


def test_its_masks_come_with_hash_and_annotator(oracle, bank, real_folder, tmp_path):
    out = tmp_path / "masks"
    paths = run_masks(oracle=oracle, samples=bank, names=["000001", "000003"], out=out)
    sidecar = json.loads((out / SIDECAR).read_text())
    rows = SampleBank(bank)
    scores = {row["class"]: row for row in json.loads((oracle / "report.json").read_text())["held_out"]["classes"]}
    for name in ("000001", "000003"):
        assert sidecar[name]["image_hash"] == rows.by_name(name).image_hash
        said = sidecar[name]["annotator"]
        assert said.startswith("oracle (rings) (its own Dice on 16 held-out tiles, same patient: ")
        assert f"ring {scores['ring']['dice']:.2f}" in said
        assert "never" not in said
    assert [path.name for path in paths] == ["000001.png", "000003.png"]
    truth = PairSets(real_folder).tiles("test").masks[3]
    assert (read_mask(out / "000003.png") == truth).mean() > 0.9
    assert json.loads((out / "classes.json").read_text()) == CLASSES.to_json()


def test_images_of_another_scale_or_changed_ones_are_refused(oracle, bank, tmp_path):
    segmenter = load_segmenter(oracle / FILE)
    write_png(bank / "images" / "000002.png", np.zeros((32, 32, 3), np.uint8))
    with pytest.raises(BadInput, match="has changed"):
        draw_masks(segmenter, SampleBank(bank), ["000002"], out=tmp_path / "m")
    write_index(bank, SampleBank(bank).rows, mpp=1.0, resolution=32)
    with pytest.raises(BadInput, match=r"1 um/px, oracle \(rings\) learnt 2"):
        draw_masks(segmenter, SampleBank(bank), ["000001"], out=tmp_path / "m")


def test_training_and_testing_on_the_same_set_is_refused(real_folder, tmp_path):
    with pytest.raises(BadConfig, match="training set too"):
        run_oracle(CONFIG.model_copy(update={"test_set": "oracle"}), pairs=real_folder, out=tmp_path / "o", seed=1)
