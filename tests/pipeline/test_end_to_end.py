"""The whole method on painted slides: slides in, labelled dataset and comparison out, against floors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from hdgan.labels import KIDNEY
from hdgan.pipeline.run import open_run, run_all
from hdgan.store.layout import STAGES
from hdgan.store.pairs import PairFolder
from hdgan.store.stage import read_manifest, verify
from hdgan.testing.cohort import paint_cohort
from hdgan.testing.sets import paint_sets

RECIPE = Path(__file__).parents[2] / "recipes" / "painted_small.toml"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    painted, root = tmp_path_factory.mktemp("painted"), tmp_path_factory.mktemp("run")
    paint_cohort(painted, num_patients=4, size_px=400, mpp=8.0, scale=1.6, density=2.0)
    paint_sets(painted / "pairs", size_px=32, mpp=8.0, scale=1.6, sizes={"oracle": 240, "fit": 16, "test": 32})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HDGAN_PAINTED", str(painted))
        opened = open_run(root, config=RECIPE)
        outcomes = run_all(opened)
        again = run_all(opened)
    return opened, outcomes, again


@pytest.mark.slow
def test_every_stage_is_made_once_and_found_current_the_second_time(run):
    opened, outcomes, again = run
    assert tuple(outcome.stage for outcome in outcomes) == STAGES
    assert not any(outcome.was_current for outcome in outcomes)
    assert all(outcome.was_current for outcome in again)
    for stage in STAGES:
        assert verify(opened.stage(stage)) == []


@pytest.mark.slow
def test_labels_of_unseen_images_are_far_above_chance_for_every_frequent_class(run):
    opened, _, _ = run
    report = json.loads((opened.stage("evaluation") / "report.json").read_text())
    pooled = report["methods"]["hdgan"]["pooled"]
    shares = np.array(pooled["per_class"]["frequency"], dtype=float)
    dice = np.array([np.nan if value is None else value for value in pooled["per_class"]["dice"]])
    frequent = shares > 0.1
    assert frequent.sum() >= 2
    # Guessing with the true shares gives a class of share s a Dice of s.
    assert (dice[frequent] > shares[frequent] + 0.5 * (1 - shares[frequent])).all()
    assert pooled["pixel_accuracy"] > 0.7
    assert set(report["methods"]) == {"hdgan", "filters", "untrained", "unet"}
    assert pooled["macro"]["dice"] > report["methods"]["untrained"]["pooled"]["macro"]["dice"]
    assert "oracle" in report["annotator"]


@pytest.mark.slow
def test_the_dataset_holds_as_many_checked_pairs_as_asked_for(run):
    opened, _, _ = run
    pairs = PairFolder(opened.stage("dataset"))
    assert len(pairs) == 60
    assert pairs.classes == KIDNEY
    counts = np.zeros(5, dtype=int)
    for stem in pairs.stems:
        counts += np.bincount(pairs.mask(stem).ravel(), minlength=5)
    assert (counts / counts.sum() > 0.05).sum() >= 2
    assert read_manifest(opened.stage("dataset")).counts["mpp"] == 8.0


@pytest.mark.slow
def test_a_segmenter_trained_on_the_pairs_alone_finds_classes_on_painted_tissue_that_it_never_saw(run):
    opened, _, _ = run
    text = (opened.stage("downstream") / "report.json").read_text()
    report = json.loads(text)
    synthetic = report["arms"]["synthetic"]
    assert synthetic["pooled"]["pixel_accuracy"] > 0.5
