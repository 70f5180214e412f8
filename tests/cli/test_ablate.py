from __future__ import annotations

import csv
from types import SimpleNamespace

import pytest

from hdgan.annotations.config import AnnotationsConfig
from hdgan.annotations.stage import run_annotations
from hdgan.downstream.config import SegmenterConfig
from hdgan.evaluation.config import EvaluationConfig


@pytest.fixture
def opened(small_run, tmp_path, monkeypatch):
    return as_if_opened(small_run, tmp_path, monkeypatch)


@pytest.fixture
def opened_with_random(small_run, tmp_path, monkeypatch):
    """The same with three images set apart that were drawn at random."""
    config = AnnotationsConfig(train=8, validate=2, test=3, random_test=3, class_map=small_run.masks / "classes.json")
    drawn, annotations = ("000015", "000002", "000007"), tmp_path / "annotations"
    run_annotations(config, samples=small_run.samples, masks=small_run.masks, at_random=drawn, out=annotations, seed=0)
    return as_if_opened(SimpleNamespace(**{**vars(small_run), "annotations": annotations}), tmp_path, monkeypatch)


def as_if_opened(small_run, tmp_path, monkeypatch):
    """The small run, which has no settings of its own, as if it had been opened by them."""
    config = SimpleNamespace(run=SimpleNamespace(seed=0), evaluation=EvaluationConfig(), control=SegmenterConfig())
    run = SimpleNamespace(
        config=config,
        folder=SimpleNamespace(root=tmp_path),
        stage=lambda name: getattr(small_run, name),
        beside=lambda name: tmp_path / name,
    )
    monkeypatch.setattr("hdgan.pipeline.run.open_run", lambda _root: run)
    return tmp_path


def test_what_is_left_stands_in_a_table_and_where_it_was_written(hdgan, opened):
    code, out, error = hdgan("ablate", opened, "--what", "cleanup", "--repeats", 1, "--members", 1)
    assert code == 0, error
    lines = out.splitlines()
    assert [" ".join(line.split()[:2]) for line in lines[1:3]] == ["cleanup off", "cleanup guided-1px"]
    assert not any("+-" in line for line in lines[1:-1])  # one trial has no spread
    assert "drawn at random" not in out
    assert lines[-1] == f"written: {opened / 'ablations' / 'ablations.csv'}, {opened / 'ablations' / 'ablations.png'}"


def test_images_drawn_at_random_have_a_table_of_their_own(hdgan, opened_with_random):
    code, out, error = hdgan("ablate", opened_with_random, "--what", "head", "--repeats", 1, "--members", 1)
    assert code == 0, error
    lines = out.splitlines()
    assert [" ".join(line.split()[:2]) for line in lines[1:3]] == ["head mlp", "head linear"]
    assert lines[3] == "on the 3 images drawn at random:"
    rows = list(csv.DictReader((opened_with_random / "ablations" / "ablations.csv").read_text().splitlines()))
    for first, part in ((1, "test"), (4, "random")):
        scores = {row["value"]: float(row["macro_dice"]) for row in rows if row["part"] == part}
        assert [line.split()[:3] for line in lines[first : first + 2]] == [
            ["head", value, f"{scores[value]:.3f}"] for value in ("mlp", "linear")
        ]
    assert lines[6].startswith("written: ")


def test_each_layer_is_told(hdgan, opened):
    code, out, error = hdgan("latent", opened)
    assert code == 0, error
    assert [line.split()[0] for line in out.splitlines()][:2] == ["maps", "b4.conv1"]
    assert out.splitlines()[-1] == f"written: {opened / 'latent' / 'latent.html'}"


def test_an_unknown_question_is_one_line(refused, opened):
    assert "no question 'colour'; they are blocks, images" in refused("ablate", opened, "--what", "colour")


@pytest.mark.parametrize("verb", ["ablate", "latent"])
def test_a_folder_that_is_no_run_is_one_line(refused, tmp_path, verb):
    assert "holds no config.toml" in refused(verb, tmp_path)
