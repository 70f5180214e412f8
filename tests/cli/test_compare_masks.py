from __future__ import annotations

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from hdgan.annotations.config import AnnotationsConfig
from hdgan.annotations.reader import AnnotationSet
from hdgan.evaluation.config import EvaluationConfig
from hdgan.store.atomic import write_json, write_png


@pytest.fixture
def run(small_run, tmp_path, monkeypatch):
    """The small run, which has no settings of its own, as if it had been opened by them."""
    config = SimpleNamespace(run=SimpleNamespace(seed=0), evaluation=EvaluationConfig())
    opened = SimpleNamespace(
        config=config,
        stage=lambda name: getattr(small_run, name),
        beside=lambda name: tmp_path / name,
        annotations=lambda: AnnotationsConfig(class_map=small_run.masks / "classes.json"),
    )
    monkeypatch.setattr("hdgan.pipeline.run.open_run", lambda _root: opened)
    return tmp_path


@pytest.fixture
def second(small_run, tmp_path):
    """A second annotator's folder: three images, one row of each with the other class."""
    annotated, folder = AnnotationSet(small_run.annotations), tmp_path / "second"
    for name in annotated.names[:3]:
        mask = annotated.mask(name)
        mask[5] = 1 - mask[5]
        write_png(folder / f"{name}.png", mask)
    return folder


def test_two_annotators_are_compared_and_nothing_is_imported(hdgan, run, second, small_run):
    names = sorted(path.stem for path in second.glob("*.png"))
    write_json(second / "masks.json", {names[0]: {"annotator": "B. Resident"}})
    before = {path: path.read_bytes() for path in small_run.annotations.rglob("*") if path.is_file()}
    code, out, error = hdgan("compare-masks", run, second, "--annotator", "C. Expert")
    assert code == 0, error
    lines = out.splitlines()
    assert lines[0] == "painted rule and B. Resident + C. Expert, 3 images that both annotated"
    assert [line.split()[0] for line in lines[2:5]] == ["dark", "bright", "never"]
    assert lines[-2].startswith("the same label on 96.9 % of the pixels, kappa 0.9")
    assert lines[-1] == f"written: {run / 'agreement' / 'agreement.html'}"
    report = json.loads((run / "agreement" / "agreement.json").read_text())
    assert report["images"] == names
    assert sum(row["pixels"] for row in report["agreement"]["confusions"]) == 3 * 32
    assert "B. Resident" in (run / "agreement" / "agreement.html").read_text()
    assert before == {path: path.read_bytes() for path in small_run.annotations.rglob("*") if path.is_file()}


def test_what_cannot_be_compared_is_one_line(hdgan, refused, run, second, small_run, monkeypatch):
    name = min(path.stem for path in second.glob("*.png"))
    assert "no such folder of masks" in refused("compare-masks", run, run / "nowhere")
    write_json(second / "masks.json", {name: {"image_hash": "0" * 64}})
    assert "masks.json" in refused("compare-masks", run, second)
    (second / "masks.json").unlink()
    write_png(second / f"{name}.png", np.full((32, 32), 7, np.uint8))
    code, _, error = hdgan("compare-masks", run, second)
    assert code == 2
    assert f"{name}.png: foreign label 7" in error.splitlines()[-1]
    assert not (run / "agreement").exists()
    annotated = AnnotationSet(small_run.annotations)
    others = SimpleNamespace(
        **{key: getattr(annotated, key) for key in ("classes", "annotator", "resolution")}, names=(annotated.names[-1],)
    )
    monkeypatch.setattr("hdgan.pipeline.agreement.AnnotationSet", lambda _: others)
    shutil.copy(small_run.masks / f"{name}.png", second)
    assert f"the second annotator has to draw some of {annotated.names[-1]}" in refused("compare-masks", run, second)
    only, whole = annotated.names[0], annotated.mask(annotated.names[0])
    monkeypatch.setattr("hdgan.pipeline.agreement.AnnotationSet", lambda _: annotated)
    monkeypatch.setattr(annotated, "mask", lambda _: np.where(np.arange(32) < 16, whole, 255).astype(np.uint8))
    for path in second.glob("*.png"):
        path.unlink()
    write_png(second / f"{only}.png", np.where(np.arange(32) < 16, 255, whole).astype(np.uint8))
    code, _, error = hdgan("compare-masks", run, second)
    assert code == 2
    assert "labels no pixel that the run's masks label" in error.splitlines()[-1]
