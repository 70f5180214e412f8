"""The comparison of the classifier's presets, run at toy size."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

from hdgan.annotations.reader import AnnotationSet
from hdgan.classifier.config import ClassifierConfig
from hdgan.errors import Diverged

from .scripts import loaded, printed

TOY = ("--sizes", 3, 1, 2, "--repeats", 2, "--epochs", 2, "--members", 1, "--presets", "default", "linear")


def test_a_row_for_each_preset_and_the_difference_and_nothing_is_fitted_twice(tmp_path):
    kept = tmp_path / "rows.jsonl"
    lines = printed("labels/presets.py", "--resolution", 32, *TOY, "--out", kept)
    rows = [json.loads(line) for line in kept.read_text().splitlines()]
    assert [line.split()[0] for line in lines] == ["preset", "default", "linear", "default"]
    assert len(rows) == 2 * (5 + 2)  # five steps tried on the validation images, two repeats
    assert {row["key"].split()[0] for row in rows} == {"tune", "test"}
    for name in ("macro", "micro", "rarest", "boundary", "ece"):
        assert all(0 <= row[name] <= 1 for row in rows)
    of = {preset: [row["macro"] for row in rows if row["key"].startswith(f"test {preset} ")] for preset in ("default", "linear")}
    assert f"{np.mean(of['linear']):.4f} ± {np.std(of['linear'], ddof=1):.4f}" in lines[2]
    assert f"{np.mean(of['default']) - np.mean(of['linear']):.4f}"[:5] in lines[3]
    seen = [row["macro"] for row in rows if row["key"].startswith("test linear ") and row["key"].endswith("repeat 1")]
    later = printed("labels/presets.py", "--resolution", 32, *TOY[:4], "--repeats", 1, *TOY[6:], "--first-repeat", 1, "--out", kept)
    assert f"{seen[0]:.4f} ± 0.0000" in later[2]
    before = kept.read_bytes()
    assert printed("labels/presets.py", "--resolution", 32, *TOY, "--out", kept) == lines
    assert kept.read_bytes() == before


def test_a_step_too_large_to_train_by_is_not_chosen(monkeypatch):
    benchmark = loaded("labels/presets.py")

    def measure(parts, preset, config, *, part, seed):
        if config.lr > 1e-3:
            raise Diverged("the loss is not finite")
        return {"macro": config.lr}

    monkeypatch.setattr(benchmark, "measure", measure)
    source = benchmark.Analytic(16, signal=1, contrast=1, sizes=(1, 1, 1))
    assert benchmark.tuned_step(source, "default", ClassifierConfig(), benchmark.Kept(None)) == 1e-3


def linked(folder, run):
    """The stages that the benchmark reads, as a run has them."""
    for number, stage in ((3, "samples"), (4, "annotations"), (5, "features")):
        (folder / f"{number}-{stage}").symlink_to(getattr(run, stage))
    return folder


def with_some_at_random(folder):
    """The annotations of the small run, four of its six test images called random ones."""
    found = AnnotationSet(folder)
    test = found.split["test"]
    found.split = {**found.split, "test": test[:2], "random": test[2:]}
    return found


def test_the_annotated_images_of_a_run_are_dealt_anew_for_every_repeat(tmp_path, small_run, monkeypatch):
    benchmark = loaded("labels/presets.py")
    monkeypatch.setattr(benchmark, "AnnotationSet", with_some_at_random)
    source = benchmark.FromRun(linked(tmp_path, small_run), sizes=(3, 1, 2))
    one, again, other = (source.parts(repeat).maps for repeat in (0, 0, 1))
    assert [len(one[part]) for part in ("train", "validate", "test")] == [3, 1, 2]
    hashes = [[mask.tobytes() for part in parts.values() for _, mask in part] for parts in (one, again, other)]
    assert hashes[0] == hashes[1] != hashes[2]
    assert len(set(hashes[0])) == 6
    assert source.parts(0).filters["train"][0][0][0].shape[0] == 31


def test_steps_are_tuned_on_images_of_a_run_that_no_repeat_scores(tmp_path, small_run, monkeypatch):
    benchmark = loaded("labels/presets.py")
    monkeypatch.setattr(benchmark, "AnnotationSet", with_some_at_random)
    source = benchmark.FromRun(linked(tmp_path, small_run), sizes=(3, 1, 2))
    tuning = [parts.maps for parts in source.tuning()]
    assert [{part: len(images) for part, images in maps.items()} for maps in tuning] == [{"train": 3, "validate": 1}] * 4
    predicted = {mask.tobytes() for maps in tuning for _, mask in maps["validate"]}
    assert len(predicted) == 4
    scored = {mask.tobytes() for repeat in range(8) for images in source.parts(repeat).maps.values() for _, mask in images}
    assert not predicted & scored


def test_the_step_tuned_is_the_best_of_the_mean_over_all_parts(monkeypatch):
    benchmark = loaded("labels/presets.py")
    best = {"first": 1e-3, "second": 3e-2}

    def measure(parts, preset, config, *, part, seed):
        return {"macro": (0.9 if parts == "second" else 0.1) * (config.lr == best[parts])}

    monkeypatch.setattr(benchmark, "measure", measure)
    source = SimpleNamespace(tuning=lambda: ["first", "second"], tuning_part="validate")
    assert benchmark.tuned_step(source, "default", ClassifierConfig(), benchmark.Kept(None)) == 3e-2


def test_a_run_without_images_drawn_at_random_is_refused(tmp_path, small_run):
    with pytest.raises(SystemExit, match=r"samples\.random images, of which it has 0"):
        loaded("labels/presets.py").FromRun(linked(tmp_path, small_run), sizes=(3, 1, 2))


def test_the_boundary_iou_by_hand():
    boundary_iou = loaded("labels/presets.py").boundary_iou
    truth = np.zeros((9, 9), dtype=np.uint8)
    truth[2:7, 2:7] = 1
    shifted = np.roll(truth, 1, axis=1)
    assert boundary_iou(truth, truth, 3, distance_px=1)[:2].tolist() == [1.0, 1.0]
    assert np.isnan(boundary_iou(truth, truth, 3, distance_px=1)[2])
    # Rings of 16 px: upper and lower edges share 2 * 4, each upright edge crosses nothing else.
    assert boundary_iou(truth, shifted, 2, distance_px=1)[1] == pytest.approx(8 / 24)
    assert boundary_iou(truth, np.zeros_like(truth), 2, distance_px=1)[1] == 0
