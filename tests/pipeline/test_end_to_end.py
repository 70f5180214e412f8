"""The whole method on painted slides: slides in, labelled dataset and comparison out, against floors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from hdgan.labels import KIDNEY
from hdgan.pipeline.run import open_run, run_all
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
    paint_cohort(painted, num_patients=8, size_px=112, mpp=16.0, scale=1.6, density=2.0)
    paint_sets(painted / "pairs", size_px=16, mpp=16.0, scale=1.6, sizes={"oracle": 240, "fit": 16, "test": 32})
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


def blind_dice(share):
    """Dice of a class of this share for whoever calls every pixel that class: the best that can be had without looking."""
    return 2 * share / (1 + share)


@pytest.mark.slow
def test_minor_classes_of_unseen_images_are_found_far_more_often_than_without_looking(run):
    """Says nothing of the prevailing class: this generator draws it on 19 of 20 pixels, and a constant labels that best."""
    opened, _, _ = run
    report = json.loads((opened.stage("evaluation") / "report.json").read_text())
    pooled = {name: method["pooled"] for name, method in report["methods"].items()}
    assert set(pooled) == {"hdgan", "filters", "untrained", "unet", "constant"}
    shares = np.array(pooled["hdgan"]["per_class"]["frequency"], dtype=float)
    dice = np.array([np.nan if value is None else value for value in pooled["hdgan"]["per_class"]["dice"]])
    minor = (shares > 0.01) & (shares < 0.5)
    assert minor.any()
    assert (dice[minor] > 2 * blind_dice(shares[minor])).all()
    assert pooled["hdgan"]["macro"]["dice"] > pooled["untrained"]["macro"]["dice"]
    assert "oracle" in report["annotator"]


@pytest.mark.slow
def test_the_dataset_holds_as_many_checked_pairs_as_asked_for(run):
    opened, _, _ = run
    pairs = PairFolder(opened.stage("dataset"))
    assert len(pairs) == 60
    assert pairs.classes == KIDNEY
    counts = sum(np.bincount(pairs.mask(stem).ravel(), minlength=5) for stem in pairs.stems)
    assert (counts / counts.sum() > 0.005).sum() >= 2
    assert read_manifest(opened.stage("dataset")).counts["mpp"] == 16.0


@pytest.mark.slow
def test_a_segmenter_trained_on_the_pairs_alone_finds_classes_on_painted_tissue_that_it_never_saw(run):
    opened, _, _ = run
    report = json.loads((opened.stage("downstream") / "report.json").read_text())
    (synthetic,) = [arm for arm in report["arms"] if arm["arm"] == "synthetic"]
    found = {entry["class"]: entry for entry in synthetic["scores"]["classes"]}
    for name in ("whitespace", "cortical tubulointerstitium"):
        assert found[name]["frequency"] > 0.1
        assert found[name]["dice"] > blind_dice(found[name]["frequency"]), name
