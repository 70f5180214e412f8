from __future__ import annotations

from importlib import import_module

import numpy as np
import pytest
import torch

from hdgan.errors import StaleStage
from hdgan.pipeline import oracle
from hdgan.pipeline.config import RunConfig
from hdgan.pipeline.run import survey
from hdgan.pipeline.settings_file import parse_settings
from hdgan.pipeline.steps import STEPS, Run
from hdgan.progress import SILENT
from hdgan.store.atomic import write_png
from hdgan.store.layout import RunFolder
from hdgan.store.stage import open_stage

from .test_quality import write_run

SECTIONS = {
    "run": {"name": "x"},
    "tiles": {"slides": ["s.tif"], "mpp": 2.0, "tile_px": 64},
    "oracle": {},
    "real": {"pairs": "pairs"},
    "downstream": {"fit_set": "train", "test_set": "test"},
}


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """Runs a stage with a stand-in for its work, on a machine with a GPU; gives the device that it was asked to use."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(oracle, "real_pairs", lambda *_, **__: tmp_path)

    def ask(stage, device):
        given = {}
        module = import_module(f"hdgan.{stage}.stage")
        monkeypatch.setattr(module, f"run_{stage}", lambda *_, **settings: given.update(settings))
        sections = SECTIONS | {"run": {"name": "x"} | ({"device": device} if device else {})}
        run = Run(parse_settings(sections, RunConfig, where="settings.toml"), RunFolder(tmp_path), tmp_path)
        next(step for step in STEPS if step.stage == stage).work(run, False, SILENT)
        return given["device"]

    return ask


@pytest.mark.parametrize("stage", ["samples", "dataset", "downstream"])
@pytest.mark.parametrize(("device", "found"), [("auto", "cuda"), ("cuda", "cuda"), ("cpu", "cpu"), (None, "cpu")])
def test_what_gains_by_a_gpu_is_done_where_the_run_says(stage, device, found, asked):
    assert asked(stage, device) == found


def test_where_a_run_is_done_is_no_setting_of_any_stage():
    plain, moved = (
        parse_settings(SECTIONS | {"run": {"name": "x", "device": name}}, RunConfig, where="s.toml") for name in ("cpu", "auto")
    )
    assert all(plain.recorded(step.stage) == moved.recorded(step.stage) for step in STEPS)


def test_real_tiles_that_the_generator_was_trained_on_are_told_in_the_comparison(monkeypatch, tmp_path):
    root, said = write_run(tmp_path, config={"held_out_fold": 1}), []
    write_png(root / "p0.png", np.zeros((8, 8, 3), np.uint8))
    monkeypatch.setattr(oracle, "real_pairs", lambda *_, **__: tmp_path)
    monkeypatch.setattr("hdgan.downstream.stage.run_downstream", lambda *_, remarks, **__: said.append(remarks))
    step = next(step for step in STEPS if step.stage == "downstream")

    def ask(slide, rows):
        cut = {"mpp": 2.0, "sets": {"train": {"rows": [[500, 600]]}, "test": {"rows": [rows]}}}
        real = {"slide": slide, "regions": {"glomerulus": "r.geojson"}, "cut": cut}
        step.work(Run(parse_settings(SECTIONS | {"real": real}, RunConfig, where="s.toml"), RunFolder(root), root), False, SILENT)
        return said[-1]

    (line,) = ask("p0.png", [0, 48])  # tiles lie at the rows 0 to 48
    assert "4 of the tiles that the generator was trained on" in line
    assert ask("p0.png", [48, 90]) == ()
    assert ask("p1.png", [0, 48]) == ()  # of the fold that was held out
    (root / "1-tiles" / "manifest.json").unlink()
    assert ask("p0.png", [0, 48]) == ()


def test_other_settings_of_the_unet_control_make_the_evaluation_stale_and_a_redo_measures_again(monkeypatch, tmp_path):
    folder, settings = RunFolder(tmp_path), SECTIONS | {"control": {"steps": 20}}
    before, now = (parse_settings(SECTIONS | {"control": {"steps": steps}}, RunConfig, where="settings.toml") for steps in (20, 40))
    with open_stage(tmp_path / "control", stage="control", config=before.control.model_dump(mode="json"), seed=0, inputs={}) as stage:
        (tmp_path / "control" / "weights").write_text("whole")
        stage.seal(counts={})
    with open_stage(folder.folder("evaluation"), stage="evaluation", config=before.recorded("evaluation"), seed=0, inputs={}) as stage:
        stage.seal(counts={})

    def standing(config):
        return {found.stage: found.fields for found in survey(Run(config, folder, tmp_path))}["evaluation"]

    assert standing(before) == ()
    assert standing(now) == ("control.steps",)
    without = parse_settings(settings | {"evaluation": {"controls": ["filters"]}}, RunConfig, where="settings.toml")
    assert "control.steps" not in standing(without)
    asked = []
    monkeypatch.setattr("hdgan.evaluation.stage.run_evaluation", lambda *_, is_afresh, **__: asked.append(is_afresh))
    step = next(step for step in STEPS if step.stage == "evaluation")
    with pytest.raises(StaleStage, match=r"control\.steps"):
        step.work(Run(now, folder, tmp_path), False, SILENT)
    step.work(Run(now, folder, tmp_path), True, SILENT)
    step.work(Run(before, folder, tmp_path), False, SILENT)
    step.work(Run(before, folder, tmp_path), True, SILENT)
    assert asked == [True, False, False]
    (tmp_path / "control" / "weights").write_text("damaged")  # verify says: make it again with --redo
    step.work(Run(before, folder, tmp_path), False, SILENT)
    step.work(Run(before, folder, tmp_path), True, SILENT)
    assert asked == [True, False, False, False, True]
