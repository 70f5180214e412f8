from __future__ import annotations

from importlib import import_module

import pytest
import torch

from hdgan.pipeline import oracle
from hdgan.pipeline.config import RunConfig
from hdgan.pipeline.settings_file import parse_settings
from hdgan.pipeline.steps import STEPS, Run
from hdgan.progress import SILENT
from hdgan.store.layout import RunFolder

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
