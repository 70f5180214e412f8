from __future__ import annotations

import json

import pytest

from hdgan.downstream.config import DownstreamConfig, SegmenterConfig
from hdgan.downstream.sets import PairSets
from hdgan.downstream.stage import run_downstream
from hdgan.errors import BadConfig, BadInput
from hdgan.labels import KIDNEY
from hdgan.progress import Silent
from hdgan.store.atomic import read_image
from hdgan.store.pairs import write_classes, write_pair
from hdgan.store.stage import open_stage, read_manifest, verify

from .conftest import CLASSES

CONFIG = DownstreamConfig(
    segmenter=SegmenterConfig(channels=(8, 8, 8), num_res_units=1, dropout=0, steps=40, batch=4, learning_rate=1e-2, checkpoint_steps=10),
    num_real=3,
    resamples=100,
    num_panels=3,
)


class Heard(Silent):
    def __init__(self):
        self.lines = []

    def say(self, line):
        self.lines.append(line)


def _dataset(folder, tiles, *, mpp=2.0, classes=CLASSES):
    with open_stage(folder, stage="dataset", config={}, seed=0, inputs={}) as stage:
        write_classes(folder, classes)
        for index, (image, mask) in enumerate(zip(tiles.images, tiles.masks, strict=True)):
            write_pair(folder, f"{index:06d}", image, mask)
        stage.seal(counts={"mpp": mpp, "annotator": "oracle (rings)"})
    return folder


@pytest.fixture(scope="module")
def dataset(real_folder, tmp_path_factory):
    return _dataset(tmp_path_factory.mktemp("dataset") / "d", PairSets(real_folder).tiles("oracle"))


@pytest.fixture(scope="module")
def finished(dataset, real_folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("downstream") / "out"
    run_downstream(CONFIG, dataset=dataset, real=real_folder, out=out, seed=2)
    return out


def test_what_the_run_knows_of_the_test_tiles_stands_first_and_is_said(dataset, real_folder, tmp_path):
    said = Heard()
    few = CONFIG.model_copy(update={"arms": ("real",), "segmenter": CONFIG.segmenter.model_copy(update={"steps": 2}), "num_panels": 0})
    run_downstream(few, dataset=dataset, real=real_folder, out=tmp_path / "out", seed=2, remarks=["They were trained on."], progress=said)
    assert json.loads((tmp_path / "out" / "report.json").read_text())["remarks"][0] == "They were trained on."
    assert "They were trained on." in (tmp_path / "out" / "report.html").read_text()
    assert said.lines[0] == "They were trained on."


def test_three_arms_are_compared_on_the_same_real_tiles(finished):
    report = json.loads((finished / "report.json").read_text())
    assert [row["arm"] for row in report["arms"]] == ["synthetic", "real", "both"]
    assert {row["scores"]["num_images"] for row in report["arms"]} == {16}
    assert report["synthetic_annotator"] == "oracle (rings)"
    assert len(report["differences"]) == 3
    assert any("same patient" in line for line in report["remarks"])
    rings = [row["scores"]["classes"][2]["dice"] for row in report["arms"]]
    assert min(rings) > 0.6
    assert read_image(finished / "panels.png").shape == (3 * 164 + 4, 5 * 164 + 4, 3)  # 32 px, five times enlarged
    page = (finished / "report.html").read_text()
    assert "16 real tiles of 32 px at 2 um/px" in page
    assert f"{rings[0]:.3f} (" in page
    assert verify(finished) == []
    assert not list(finished.rglob("state"))


def test_a_comparison_cut_off_between_two_arms_ends_with_the_same_bytes(finished, dataset, real_folder, tmp_path, monkeypatch):
    class Stop(Exception):
        pass

    def stop(*args, **kwargs):
        raise Stop

    out = tmp_path / "out"
    monkeypatch.setattr("hdgan.downstream.stage._report", stop)
    with pytest.raises(Stop):
        run_downstream(CONFIG, dataset=dataset, real=real_folder, out=out, seed=2)
    monkeypatch.undo()
    (out / "both" / "segmenter.safetensors").unlink()
    run_downstream(CONFIG, dataset=dataset, real=real_folder, out=out, seed=2)
    assert (out / "manifest.json").read_bytes() == (finished / "manifest.json").read_bytes()
    assert read_manifest(out).outputs["panels.png"]


def test_pairs_of_another_scale_or_other_classes_are_refused(real_folder, tmp_path):
    tiles = PairSets(real_folder).tiles("fit")
    with pytest.raises(BadInput, match="1 um/px, the real pairs 2"):
        run_downstream(CONFIG, dataset=_dataset(tmp_path / "a", tiles, mpp=1.0), real=real_folder, out=tmp_path / "o", seed=2)
    with pytest.raises(BadInput, match="use one class map"):
        run_downstream(CONFIG, dataset=_dataset(tmp_path / "b", tiles, classes=KIDNEY), real=real_folder, out=tmp_path / "o", seed=2)
    assert not (tmp_path / "o").exists()


def test_testing_on_what_the_real_arm_learnt_is_refused(dataset, real_folder, tmp_path):
    with pytest.raises(BadConfig, match="training set too"):
        run_downstream(CONFIG.model_copy(update={"fit_set": "test"}), dataset=dataset, real=real_folder, out=tmp_path / "o", seed=2)


@pytest.mark.parametrize("impossible", [{"fit_set": "fitt"}, {"segmenter": SegmenterConfig(channels=(8, 8, 8), crop_px=512)}])
def test_a_redo_by_settings_that_cannot_be_leaves_the_networks_that_are_there(finished, dataset, real_folder, impossible):
    with pytest.raises(BadInput, match=r"fitt|crop_px"):
        run_downstream(CONFIG.model_copy(update=impossible), dataset=dataset, real=real_folder, out=finished, seed=2, redo=True)
    assert verify(finished) == []
