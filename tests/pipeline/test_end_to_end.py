"""The whole method on painted slides: slides in, labelled dataset and comparison out, against floors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from hdgan.labels import KIDNEY
from hdgan.pipeline.ablate import ablate
from hdgan.pipeline.latent import measure_latent
from hdgan.pipeline.run import open_run, run_all
from hdgan.pipeline.snapshots import known_snapshots
from hdgan.store.layout import STAGES
from hdgan.store.pairs import PairFolder
from hdgan.store.stage import read_manifest, verify
from hdgan.testing.cohort import paint_cohort
from hdgan.testing.sets import paint_sets

RECIPE = Path(__file__).parents[2] / "recipes" / "painted_small.toml"


@pytest.fixture(scope="module")
def one_thread():
    """Networks this small gain nothing from a second thread, and lose five-fold where another process has the second core."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def run(tmp_path_factory, one_thread):
    painted, root = tmp_path_factory.mktemp("painted"), tmp_path_factory.mktemp("run")
    look = {"mpp": 16.0, "scale": 1.6, "density": 2.0, "stains": ("pas",)}
    paint_cohort(painted, num_patients=8, size_px=112, **look)
    paint_sets(painted / "pairs", size_px=16, sizes={"oracle": 960, "fit": 16, "test": 48}, **look)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HDGAN_PAINTED", str(painted))
        opened = open_run(root, config=RECIPE)
        outcomes = run_all(opened)
        again = run_all(opened)
        yield opened, outcomes, again


@pytest.mark.slow
def test_every_stage_is_made_once_and_found_current_the_second_time(run):
    opened, outcomes, again = run
    assert tuple(outcome.stage for outcome in outcomes) == STAGES
    assert not any(outcome.was_current for outcome in outcomes)
    assert all(outcome.was_current for outcome in again)
    for stage in STAGES:
        assert verify(opened.stage(stage)) == []


FREQUENT = 0.05
"""Share of the pixels from which a class counts as frequent."""


def floor(share):
    """What is well above chance for a class of this share: twice the Dice of labels drawn at random in the true shares (which is the
    share), or, where twice is out of reach, a tenth of the way from there to 1."""
    return np.minimum(2 * share, share + 0.1 * (1 - share))


@pytest.mark.slow
def test_every_frequent_class_of_unseen_images_is_found_far_better_than_by_chance(run):
    opened, _, _ = run
    report = json.loads((opened.stage("evaluation") / "report.json").read_text())
    pooled = {name: method["pooled"] for name, method in report["methods"].items()}
    assert set(pooled) == {"hdgan", "filters", "untrained", "unet", "constant"}
    shares = np.array(pooled["hdgan"]["per_class"]["frequency"], dtype=float)
    dice = np.array([np.nan if value is None else value for value in pooled["hdgan"]["per_class"]["dice"]])
    frequent = shares >= FREQUENT
    assert frequent.sum() >= 2
    assert (dice[frequent] > floor(shares[frequent])).all(), (shares, dice)
    assert pooled["hdgan"]["macro"]["dice"] > max(pooled["untrained"]["macro"]["dice"], pooled["constant"]["macro"]["dice"] + 0.05)
    assert "oracle" in report["annotator"]


@pytest.mark.slow
def test_each_snapshot_of_the_generator_is_labelled_by_the_oracle_and_placed_by_its_distance_from_real_crops(run):
    opened, _, _ = run
    found = ablate(opened, whats=["snapshots"], repeats=1, members=1)
    assert {row["value"] for row in found.rows} == {str(images) for images in known_snapshots(opened)}
    assert all(row["quality"] > 0 and 0 < row["macro_dice"] < 1 for row in found.rows)
    assert all(outcome.was_current for outcome in run_all(opened))  # nothing of the run itself has changed


@pytest.mark.slow
def test_every_layer_has_a_probe_and_all_of_them_know_more_than_the_first(run):
    opened, _, _ = run
    layers = measure_latent(opened).report["layers"]
    assert layers[-1]["kind"] == "all"
    assert layers[-1]["macro_dice"] > layers[0]["macro_dice"]


@pytest.mark.slow
def test_the_oracle_knows_every_class_of_painted_tissue_that_it_is_asked_for(run):
    opened, _, _ = run
    held_out = json.loads((opened.folder.root / "oracle" / "report.json").read_text())["held_out"]["classes"]
    assert {entry["class"] for entry in held_out} == set(KIDNEY.names)
    assert all(entry["dice"] > 0.5 for entry in held_out)


@pytest.mark.slow
def test_the_dataset_holds_as_many_checked_pairs_as_asked_for(run):
    opened, _, _ = run
    pairs = PairFolder(opened.stage("dataset"))
    assert len(pairs) == 200
    assert pairs.classes == KIDNEY
    counts = sum(np.bincount(pairs.mask(stem).ravel(), minlength=5) for stem in pairs.stems)
    assert (counts / counts.sum() > 0.005).sum() >= 2
    assert read_manifest(opened.stage("dataset")).counts["mpp"] == 16.0


@pytest.mark.slow
def test_a_segmenter_trained_on_the_pairs_alone_finds_the_prevailing_class_on_painted_tissue_that_it_never_saw(run):
    opened, _, _ = run
    report = json.loads((opened.stage("downstream") / "report.json").read_text())
    (synthetic,) = [arm for arm in report["arms"] if arm["arm"] == "synthetic"]
    found = {entry["class"]: entry for entry in synthetic["scores"]["classes"]}
    name = "cortical tubulointerstitium"
    assert found[name]["frequency"] > FREQUENT
    # More than calling every pixel that class, the best that can be had without looking.
    share = found[name]["frequency"]
    assert found[name]["dice"] > 2 * share / (1 + share)
