from __future__ import annotations

import os
import subprocess
import sys

import pytest

from hdgan.store.layout import RunFolder
from hdgan.store.stage import read_manifest
from tests.training.processes import free_port

SETTINGS = """[run]
name = "small"
[tiles]
slides = ["painted/slides.csv"]
mpp = 8.0
tile_px = 64
stride_px = 32
max_background = 0.9
[generator]
resolution = 16
z_dim = 8
w_dim = 8
channel_base = 128
channel_max = 8
batch = 8
kimg = 0.032
snapshot_kimg = 1.0
"""


@pytest.fixture
def run(hdgan, tmp_path):
    """A run with tiles, ready to be trained on."""
    hdgan("paint", tmp_path / "painted", "--patients", 2, "--size", 256, "--mpp", 8, "--tile-px", 0)
    (tmp_path / "settings.toml").write_text(SETTINGS)
    code, _, error = hdgan("tile", tmp_path / "run", "--config", tmp_path / "settings.toml")
    assert code == 0, error
    return tmp_path / "run"


def torchrun(run, node, port):
    """A torchrun for one process on a "machine" that has an address of its own."""
    nodes = ["--nnodes", "2", "--node-rank", str(node), "--nproc-per-node", "1", "--local-addr", f"127.0.0.{1 + node}"]
    where = ["--master-addr", "127.0.0.1", "--master-port", str(port), "-m", "hdgan", "train", str(run)]
    command = [sys.executable, "-m", "torch.distributed.run", *nodes, *where]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})


def test_torchrun_on_two_machines_trains_one_generator_and_only_the_first_reports(run):
    port = free_port()
    machines = [torchrun(run, node, port) for node in range(2)]
    said = [machine.communicate(timeout=120) for machine in machines]
    assert [machine.returncode for machine in machines] == [0, 0], said
    assert read_manifest(RunFolder(run).folder("generator")).counts["images"] == 32
    assert said[0][0].startswith("generator: done in ")
    assert said[1][0] == ""
    assert "training the generator: 32 to do" in said[0][1]
    assert "training the generator" not in said[1][1]


def test_a_verb_that_cannot_be_shared_is_refused_in_one_line(run, refused, monkeypatch):
    for name, value in {"RANK": 0, "WORLD_SIZE": 2, "LOCAL_RANK": 0, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": 1}.items():
        monkeypatch.setenv(name, str(value))
    assert "tiles: started as 2 processes" in refused("tile", run)
    assert "run: started as 2 processes" in refused("run", run / "config.toml")


def test_a_plan_measures_this_machine_and_writes_nothing(hdgan, tmp_path):
    (tmp_path / "settings.toml").write_text(SETTINGS.replace("kimg = 0.032", "kimg = 500.0\nmicrobatch = 4"))
    before = sorted(tmp_path.rglob("*"))
    code, out, error = hdgan("train", tmp_path / "run", "--config", tmp_path / "settings.toml", "--plan")
    assert code == 0, error
    assert sorted(tmp_path.rglob("*")) == before
    first, memory, per_kimg, whole, states, grids = out.splitlines()
    assert first == "16 px, 8 images a step in passes of 4, measured on random images on cpu"
    assert "at most in this process" in memory
    assert 0 < float(per_kimg.split()[1]) < 1000
    assert "for 500 thousand" in whole
    assert "for states (the newest three and the best)" in states
    assert "500 grids" in grids


def test_a_plan_counts_the_labels_of_the_tiles_or_says_that_it_cannot(run, hdgan, tmp_path):
    (tmp_path / "settings.toml").write_text(SETTINGS + 'condition = "patient"\n')
    for folder, told in (
        (run, "2 labels, measured"),
        (tmp_path / "new", "2 labels (the tiles, which would tell, are not there), measured"),
    ):
        code, out, error = hdgan("train", folder, "--config", tmp_path / "settings.toml", "--plan")
        assert code == 0, error
        assert told in out.splitlines()[0]


def test_a_plan_of_a_run_without_settings_is_refused(refused, tmp_path):
    assert "no such file" in refused("train", tmp_path / "absent", "--plan")
