from __future__ import annotations

import csv
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from hdgan.downstream.config import SegmenterConfig
from hdgan.downstream.segmenter import FILE as SEGMENTER_FILE
from hdgan.downstream.segmenter import save_segmenter, untrained
from hdgan.errors import BadConfig, BadInput, Busy, DamagedArtifact
from hdgan.evaluation.config import EvaluationConfig
from hdgan.generator.networks import Generator
from hdgan.generator.weights import FILE, load_generator, load_snapshot
from hdgan.pipeline import snapshots as module
from hdgan.pipeline.ablate import CHART, FOLDER, TABLE, ablate, open_subject
from hdgan.pipeline.latent import PAGE, REPORT, measure_latent
from hdgan.store.atomic import read_image
from hdgan.store.stage import LOCK, holding
from hdgan.training import checkpoint
from tests.small_run import CLASSES


@pytest.fixture
def run(small_run, tmp_path):
    """The small run as the pipeline opens one, with a place of its own for what is written beside the stages."""
    config = SimpleNamespace(run=SimpleNamespace(seed=0), evaluation=EvaluationConfig(), control=SegmenterConfig())
    return SimpleNamespace(
        config=config,
        folder=SimpleNamespace(root=tmp_path),
        stage=lambda name: getattr(small_run, name),
        beside=lambda name: tmp_path / name,
    )


def test_a_table_and_a_chart_are_written_and_finished_trials_are_kept(run, monkeypatch):
    found = ablate(run, whats=["head"], repeats=1, members=1)
    table = list(csv.DictReader((found.folder / TABLE).read_text().splitlines()))
    assert {row["part"] for row in table} == {"validate", "test"}
    assert all(0 < float(row["macro_dice"]) <= 1 for row in table)
    assert read_image(found.folder / CHART).ndim == 3
    before = (found.folder / TABLE).read_bytes()

    def never(*_args, **_named):
        raise AssertionError("nothing was left to do")

    monkeypatch.setattr("hdgan.evaluation.trials.fit_on", never)
    assert ablate(run, whats=["head"], repeats=1, members=1).rows == found.rows
    assert (run.beside(FOLDER) / TABLE).read_bytes() == before


def test_an_unknown_question_and_snapshots_without_an_oracle_are_refused(run):
    with pytest.raises(BadConfig, match="no question 'colour'"):
        ablate(run, whats=["colour"], repeats=1)
    with pytest.raises(BadInput, match=r"has no oracle.*\[oracle\]"):
        ablate(run, whats=["snapshots"], repeats=1)


def test_two_at_once_do_not_make_the_same_trials(run):
    (run.beside(FOLDER)).mkdir()
    with holding(run.beside(FOLDER) / LOCK), pytest.raises(Busy, match="another process is working there"):
        ablate(run, whats=["head"], repeats=1)


def state_of(weights, path, *, change):
    """A training state whose averaged generator is that of `weights`, changed."""
    generator = load_generator(weights)
    tensors = {f"G_average.{name}": value * change for name, value in generator.network.state_dict().items()}
    checkpoint.write_tensors(path, tensors, {"num_images": 500})


def test_a_snapshot_is_the_average_of_its_training_state(small_run, tmp_path):
    weights = small_run.generator / FILE
    state_of(weights, tmp_path / "state-000000500.safetensors", change=0.5)
    found = load_snapshot(tmp_path / "state-000000500.safetensors", like=weights)
    last = load_generator(weights)
    for (name, a), b in zip(found.network.state_dict().items(), last.network.state_dict().values(), strict=True):
        assert torch.allclose(a, b * 0.5), name
    assert found.facts["images"] == 500
    assert found.mpp == last.mpp
    assert found.content_hash != last.content_hash
    with pytest.raises(DamagedArtifact, match="is no state of the training"):
        load_snapshot(weights, like=weights)


def test_snapshots_are_labelled_by_the_oracle_and_placed_by_their_quality(run, small_run, tmp_path, monkeypatch):
    oracle = untrained(SegmenterConfig(channels=(4, 8, 8), num_res_units=1), classes=CLASSES, crop_px=32, mpp=2.0, name="nobody", seed=3)
    oracle.network.eval()
    save_segmenter(tmp_path / "oracle" / SEGMENTER_FILE, oracle)
    weights = small_run.generator / FILE
    (tmp_path / "generator" / "state").mkdir(parents=True)
    state_of(weights, tmp_path / "generator" / "state" / "state-000000500.safetensors", change=0.8)
    (tmp_path / "generator" / FILE).write_bytes(weights.read_bytes())
    run.stage = lambda name: tmp_path / "generator" if name == "generator" else getattr(small_run, name)
    monkeypatch.setattr(module, "yardstick_of", lambda _root, num: lambda generator: float(generator.facts.get("images", 0)) + num)
    subject = open_subject(run, members=1)
    trials = list(module.snapshots(run, subject, 1))
    state_of(weights, tmp_path / "generator" / "state" / "average-000000100.safetensors", change=0.7)
    assert [trial.value for trial in module.snapshots(run, subject, 1)] == ["100", "500"]
    assert [trial.value for trial in trials] == ["500"]  # the weights say of no number of images, so the newest state's is taken
    fitted = trials[0].fit()
    name = subject.annotated.names[0]
    assert np.array_equal(fitted.truth.mask(name), oracle.predict(subject.bank.image(subject.bank.by_name(name).index)))
    assert fitted.quality == 256.0
    assert not fitted.truth.blend(name).any()
    assert fitted.predict(name).shape == (32, 32)


def test_meaning_is_measured_on_the_validation_images_of_a_run(run, small_run):
    found = measure_latent(run)
    report, annotated = json.loads((found.folder / REPORT).read_text()), open_subject(run).annotated
    assert report == json.loads(json.dumps(found.report))
    names = [row["name"] for row in report["layers"] if row["kind"] == "layer"]
    assert names == [tap.name for tap in open_subject(run).features.taps]
    assert sum(row["pixels"] for row in report["contours"]) == 2 * 32 * 32
    masks = [annotated.mask(name) for name in report["images"]]
    assert report["pixels"] == [int(sum((mask == value).sum() for mask in masks)) for value in range(3)]
    assert "painted rule" in (found.folder / PAGE).read_text()
    before = (found.folder / PAGE).read_bytes()
    measure_latent(run)
    assert (found.folder / PAGE).read_bytes() == before


def test_a_generator_of_another_shape_is_no_snapshot(small_run, tmp_path):
    other = Generator(
        load_generator(small_run.generator / FILE).spec.__class__(resolution=16, z_dim=8, w_dim=8, channel_base=128, channel_max=8)
    )
    tensors = {f"G_average.{name}": value for name, value in other.state_dict().items()}
    checkpoint.write_tensors(tmp_path / "state-000000001.safetensors", tensors, {"num_images": 1})
    with pytest.raises(DamagedArtifact, match="leave it out"):
        load_snapshot(tmp_path / "state-000000001.safetensors", like=small_run.generator / FILE)
