"""Every line of the worklist, dry-run on the CPU at toy size: the scripts must work in hands that do not know them."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from hdgan.generator import phases
from hdgan.generator.state import new_state, to_tensors

from .scripts import loaded

ROOT = Path(__file__).parents[2]
BLOCKED = "import sys\nfor name in ('pydantic', 'safetensors', 'scipy', 'monai', 'typer', 'rich'):\n    sys.modules[name] = None\n"


def run(script, *arguments):
    """Runs a script where only torch, numpy and pillow can be imported."""
    path = ROOT / "benchmarks" / script
    code = f"{BLOCKED}sys.argv = {[str(path), *map(str, arguments)]!r}\nimport runpy\nrunpy.run_path({str(path)!r}, run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def packed_tiles():
    return loaded("gpu/packed_tiles.py")


def loaded_with_neighbours(name):
    """A GPU script as a module; it imports those beside it."""
    sys.path.insert(0, str(ROOT / "benchmarks" / "gpu"))
    try:
        return loaded(f"gpu/{name}.py")
    finally:
        sys.path.pop(0)


@pytest.fixture
def packed(tmp_path):
    tiles = np.random.default_rng(0).integers(0, 255, (4, 32, 32, 3), dtype=np.uint8)
    path = tmp_path / "carry" / "kidney-1um.npz"
    packed_tiles().save(path, tiles, mpp=1.0, labels=[0, 1, 1, 0], names=["1", "biopsy-a"])
    return path


def test_legs_of_training_resume_each_other_and_fit_what_can_be_carried(packed, tmp_path):
    state = tmp_path / "state"
    leg = ("gpu/train_kidney.py", "--data", packed, "--state", state, "--preset", "16", "--device", "cpu", "--compact")
    run(*leg, "--kimg", "0.04")
    assert "resumed at 40 images" in run(*leg, "--kimg", "0.08")
    newest = sorted(state.glob("state-*"))[-1]
    assert newest.name == "state-0000000080"
    assert max(path.stat().st_size for path in newest.iterdir()) < 16_000_000
    assert list(state.glob("grid-*.png"))


def test_the_step_falls_to_a_fifth_during_a_leg_that_cools(packed, tmp_path):
    script = loaded_with_neighbours("train_kidney")
    spec, settings = script.PRESETS["16"]
    state = new_state(spec, settings)
    state.num_images = 5000
    rates = []
    for share in (0.0, 0.5, 1.0):
        phases._set_rate(state, script.cooled(settings, state, share))
        rates.append(state.G_optimiser.param_groups[0]["lr"] / settings.lr)
    assert rates[0] == pytest.approx(1.0, abs=1e-3)
    assert rates[1:] == pytest.approx([0.6, 0.2], abs=1e-3)
    out = run(
        "gpu/train_kidney.py", "--data", packed, "--state", tmp_path / "s", "--preset", "16", "--device", "cpu", "--kimg", "0.04", "--cool"
    )
    assert "40 images" in out


def test_a_damaged_state_gives_way_to_the_one_before(packed, tmp_path):
    state = tmp_path / "state"
    leg = ("gpu/train_kidney.py", "--data", packed, "--state", state, "--preset", "16", "--device", "cpu")
    run(*leg, "--kimg", "0.04")
    run(*leg, "--kimg", "0.08")
    part = state / "state-0000000080" / "part-0.npz"
    part.write_bytes(part.read_bytes()[:-7])
    out = run(*leg, "--kimg", "0.04")
    assert "is damaged" in out
    assert "resumed at 40 images" in out


def test_timings_are_written_row_by_row(tmp_path):
    run("gpu/time_generator.py", "--resolutions", "16", "--steps", "2", "--out", tmp_path / "times.json", "--device", "cpu")
    (row,) = json.loads((tmp_path / "times.json").read_text())["rows"]
    assert (row["batch"], row["precision"], row["train"]["num_steps"]) == (4, "bfloat16", 2)
    assert set(row["train"]["flop"]) == {"float32", "bfloat16"}
    assert set(row["draw"]["flop"]) == {"float32"}
    for part in ("train", "draw"):
        assert row[part]["images_per_second"] > 0
        assert 0 < row[part]["shares"]["product"] < 1.5
        assert row[part]["shares"]["copy"] > 0


def test_a_part_that_does_not_fit_is_recorded_beside_the_one_that_does(monkeypatch):
    script = loaded_with_neighbours("time_generator")

    def full(*arguments, **named):
        raise torch.OutOfMemoryError("CUDA out of memory.\nmore")

    monkeypatch.setattr(script, "time_training", full)
    row = script.measure(16, 1, argparse.Namespace(precision=None, device="cpu", parts=["train", "draw"], steps=1, seconds=1.0, tf32=False))
    assert row["train_failed"] == "CUDA out of memory."
    assert "train" not in row
    assert row["draw"]["images_per_second"] > 0


def test_sizes_from_256_to_4096_px_are_among_those_that_can_be_timed():
    assert {256, 512, 1024, 2048, 4096} <= set(loaded_with_neighbours("time_generator").CASES)


def test_labels_are_timed_and_compared_with_those_of_upsampled_maps(tmp_path):
    toy = ("--resolutions", "64", "--channel-base", "256", "--rounds", "1", "--device", "cpu")
    run("gpu/label_images.py", *toy, "--out", tmp_path / "labels.json")
    one, ten = json.loads((tmp_path / "labels.json").read_text())["rows"]
    assert [one["heads"], ten["heads"]] == [1, 10]
    assert one["difference"] < 1e-4
    assert one["equal_labels"] > 0.999
    assert min(one["label_seconds"], one["plain_seconds"], ten["label_seconds"]) > 0


def test_the_kidney_tiles_are_packed_without_the_areas_kept_for_tests(tmp_path):
    if "HDGAN_DATA" not in os.environ:
        pytest.skip("HDGAN_DATA does not name the real data")
    out = run("gpu/pack_kidney.py", "--mpp", "4", "--out", tmp_path / "k.npz")
    tiles = packed_tiles().load(tmp_path / "k.npz")
    labels, names = packed_tiles().load_labels(tmp_path / "k.npz")
    assert names == ["1", "2", "3", "biopsy-a"]
    assert len(labels) == len(tiles)
    assert set(labels) == {0, 1, 2, 3}
    assert tiles.shape[1:] == (64, 64, 3)
    assert len(tiles) > 200
    order = packed_tiles().load_order(tmp_path / "k.npz")
    assert set(order) == set(range(len(tiles)))
    assert len(order) - len(tiles) == sum(order.count(i) == 2 for i in range(len(tiles))) > 50
    assert "chosen for a glomerulus" in out
    assert "4.0 um/px" in out


COMMANDS = re.findall(r"```bash\n(.+?)\n```", (ROOT / "benchmarks" / "gpu" / "WORKLIST.md").read_text(), flags=re.DOTALL)
SMALL = "--resolutions 16 --channel-base 64 --channel-max 8 --steps 1 --samples 1 --threads 1 --device cpu"
FULL = "--channel-base 32768 --channel-max 512"
TOY = [
    (f"--device cuda --resolutions 256 512 1024 {FULL} --steps 50", f"{SMALL} --batch 4"),
    (f"--device cuda --resolutions 2048 4096 {FULL} --batch 1 --samples 8 --steps 50", f"{SMALL} --batch 1"),
    (f"--device cuda --resolutions 256 {FULL}", f"{SMALL} --batch 4"),
    (f"--device cuda --resolutions 4096 {FULL} --batch 1 --samples 8 --steps 50", f"{SMALL} --batch 1"),
    ("--preset 64 --precision $p --kimg 60 --seconds 250", "--preset 16 --precision $p --kimg 0.02 --device cpu"),
    ("--preset 256 --seconds 520", "--preset 16 --kimg 0.04 --device cpu"),
    ("--resolutions 64 256 512 1024 2048 --steps 50", "--resolutions 16 --steps 1 --device cpu"),
    ("--resolutions 256 1024 --precision float32 --parts train --steps 50", "--resolutions 16 --precision float32 --steps 1 --device cpu"),
    ("--resolutions 4096 --batches 1 2 4 --steps 50", "--resolutions 16 --batches 1 2 --steps 1 --device cpu"),
    ("--device cuda --resolutions 1024 4096", "--device cpu --resolutions 64 --channel-base 256 --rounds 1"),
    ("--device cuda", "--device cpu --repeats 1"),
]


@pytest.mark.parametrize("number", range(1, len(COMMANDS)))
def test_the_commands_of_the_worklist_run_as_they_stand_but_for_their_size(number, packed, tmp_path):
    command = COMMANDS[number]
    assert any(full in command for full, _ in TOY)
    for full, toy in TOY:
        command = command.replace(full, toy)
    command = command.replace("carry/", f"{packed.parent}/")
    (tmp_path / "site").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(BLOCKED)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"OUT": str(tmp_path / "out"), "PATH": path, "PYTHONPATH": str(tmp_path / "site"), "OMP_NUM_THREADS": "1"}
    environment["TORCHDYNAMO_DISABLE"] = "1"  # what is compiled runs as it is: the C++ compiler would take minutes
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=300, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    back = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert 1 <= len(back) <= 8
    assert max(path.stat().st_size for path in back) < 16_000_000


def test_a_whole_state_of_the_256_px_generator_can_be_carried(tmp_path):
    script = loaded("gpu/leg_state.py")
    spec, settings = loaded_with_neighbours("train_kidney").PRESETS["256"]
    state = new_state(dataclasses.replace(spec, label_dim=4), settings)
    for network, optimiser in ((state.G, state.G_optimiser), (state.D, state.D_optimiser)):
        for parameter in network.parameters():
            parameter.grad = torch.randn_like(parameter)
        optimiser.step()
    sizes = [part.stat().st_size for part in script.save(tmp_path, *to_tensors(state), is_compact=True).iterdir()]
    assert len(sizes) <= 6
    assert max(sizes) < 16_000_000
    assert sum(sizes) < 30_000_000
