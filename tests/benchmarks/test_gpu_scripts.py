"""Every line of the worklist, dry-run on the CPU at toy size: the scripts must work in hands that do not know them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
BLOCKED = "import sys\nfor name in ('pydantic', 'safetensors', 'scipy', 'monai', 'typer', 'rich'):\n    sys.modules[name] = None\n"


def run(script, *arguments):
    """Runs a script where only torch, numpy and pillow can be imported."""
    path = ROOT / "benchmarks" / script
    code = f"{BLOCKED}sys.argv = {[str(path), *map(str, arguments)]!r}\nimport runpy\nrunpy.run_path({str(path)!r}, run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def packed(tmp_path):
    tiles = np.random.default_rng(0).integers(0, 255, (4, 32, 32, 3), dtype=np.uint8)
    np.savez(tmp_path / "tiles.npz", tiles=tiles, mpp=np.float64(1))
    return tmp_path / "tiles.npz"


def test_legs_of_training_resume_each_other_and_fit_what_can_be_carried(packed, tmp_path):
    state = tmp_path / "state"
    leg = ("gpu/train_kidney.py", "--data", packed, "--state", state, "--preset", "16", "--device", "cpu", "--compact")
    run(*leg, "--kimg", "0.04")
    assert "resumed at 40 images" in run(*leg, "--kimg", "0.08")
    newest = sorted(state.glob("state-*"))[-1]
    assert newest.name == "state-0000000080"
    assert max(path.stat().st_size for path in newest.iterdir()) < 16_000_000
    assert list(state.glob("grid-*.png"))


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
    assert row["train_images_per_second"] > 0
    assert row["draw_images_per_second"] > 0


def test_the_kidney_tiles_are_packed_without_the_areas_kept_for_tests(tmp_path):
    if "HDGAN_DATA" not in os.environ:
        pytest.skip("HDGAN_DATA does not name the real data")
    out = run("gpu/pack_kidney.py", "--mpp", "4", "--out", tmp_path / "k.npz")
    with np.load(tmp_path / "k.npz") as packed:
        assert packed["tiles"].shape[1:] == (64, 64, 3)
        assert len(packed["tiles"]) > 200
    assert "4.0 um/px" in out
