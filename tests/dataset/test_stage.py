from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from hdgan.dataset.config import DatasetConfig
from hdgan.dataset.stage import make_dataset
from hdgan.errors import BadConfig, StaleStage
from hdgan.store.stage import verify

from .stripes import INPUTS, Stripes, make

CONFIG = DatasetConfig(num=40, shard=3, uncertainty_maps=True, title='A "quoted" title', licence="CC BY 4.0", attribution="Painter")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("dataset") / "d"
    make(CONFIG, out)
    return out


def _contents(folder):
    skipped = {"provenance.json", ".lock"}
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name not in skipped}


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
def test_killed_from_outside_at_random_moments_it_ends_with_the_same_bytes(finished, tmp_path):
    out = tmp_path / "d"
    rng = np.random.default_rng()  # other moments in every run of the tests
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(root), str(root / "src")))}
    command = [sys.executable, "-m", "tests.dataset.stripes", str(out), CONFIG.model_dump_json(), "0.01"]
    killed = 0
    for _ in range(4):
        process = subprocess.Popen(command, env=environment)
        while not (out / "inprogress.json").exists() and process.poll() is None:
            time.sleep(0.005)  # the imports are not what is to be interrupted
        time.sleep(float(rng.uniform(0, 0.3)))
        process.send_signal(signal.SIGKILL)
        killed += process.wait(timeout=60) == -signal.SIGKILL
    assert subprocess.run(command, env=environment, timeout=60).returncode == 0
    assert killed >= 1
    assert _contents(out) == _contents(finished)


def test_cut_off_before_any_one_rename_it_ends_with_the_same_bytes(tmp_path, monkeypatch):
    class PowerCut(BaseException):
        pass

    config = DatasetConfig(num=3, drop_share=0.5, shard=4)
    make(config, tmp_path / "whole")
    expected = _contents(tmp_path / "whole")
    replace, number = os.replace, 0
    while True:
        out, left = tmp_path / f"cut-{number}", [number]

        def cut(source, target, left=left):
            if left[0] == 0:
                raise PowerCut
            left[0] -= 1
            replace(source, target)

        monkeypatch.setattr("hdgan.store.atomic.os.replace", cut)
        try:
            make(config, out)
            break
        except PowerCut:
            monkeypatch.undo()
        make(config, out)
        assert _contents(out) == expected, f"cut off before rename {number}"
        number += 1
    assert number > 2 * 6 + 2  # images and masks of six candidates, two parts, and the tables


def test_the_manifest_lists_every_file_and_the_facts_others_need(finished):
    assert verify(finished) == []
    manifest = json.loads((finished / "manifest.json").read_text())
    expected = {"pairs": 40, "candidates": 44, "dropped": 4, "mpp": 2.0, "size_px": 16, "annotator": "the stripes themselves"}
    assert manifest["counts"] == expected
    assert {"README.md", "pairs.csv", "dropped.csv", "classes.json", "preview.png"} <= manifest["outputs"].keys()
    assert sum(name.startswith("masks/") for name in manifest["outputs"]) == 40


def test_a_finished_dataset_is_current_and_another_setting_is_named(finished):
    label = Stripes()
    make(CONFIG, finished, label=label)
    assert label.calls == 0
    with pytest.raises(StaleStage, match=r"config\.psi"):
        make(CONFIG.model_copy(update={"psi": 0.9}), finished, label=label)


def test_redo_writes_another_dataset_in_its_place(tmp_path):
    make(DatasetConfig(num=5), tmp_path / "d")
    manifest = make(DatasetConfig(num=3, drop_share=0), tmp_path / "d", redo=True)
    assert manifest.counts["pairs"] == 3
    assert len(list((tmp_path / "d" / "images").iterdir())) == 3


@pytest.mark.parametrize("num", [1, 2, 3])
def test_the_smallest_datasets_are_whole(num, tmp_path):
    assert make(DatasetConfig(num=num), tmp_path / "d").counts["pairs"] == num


def test_a_redo_by_settings_that_cannot_be_leaves_the_pairs_that_are_there(tmp_path):
    make(DatasetConfig(num=3), tmp_path / "d")
    before = _contents(tmp_path / "d")

    def refuse():
        raise BadConfig("refinement", "no class 'lumen'")

    with pytest.raises(BadConfig, match="lumen"):
        make_dataset(DatasetConfig(num=3, title="Other"), refuse, inputs=INPUTS, out=tmp_path / "d", seed=4, redo=True)
    assert _contents(tmp_path / "d") == before
