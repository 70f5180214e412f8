from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_reading_benchmark_compares_all_pixels_of_its_painted_slide(tmp_path):
    command = [sys.executable, str(ROOT / "benchmarks/tiles/reading.py"), "--edge", "2304", "--region", "512"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [*command, "--regions", "2", "--repeats", "1", "--out", str(tmp_path / "r.json")], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    (row,) = json.loads((tmp_path / "r.json").read_text())
    assert (row["reader"], row["identical"]) == ("direct", True)
    assert all(times["ours"] > 0 and times["raw, one buffer"] > 0 for times in row["walks"].values())
    assert "openslide / ours" in done.stdout


def test_the_damage_benchmark_counts_every_tile():
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks/tiles/seen_damage.py"), "--tiles", "2"], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 25
    assert all(sum(int(word) for word in line[33:].replace(",", "").split() if word.isdigit()) == 2 for line in lines), done.stdout
    assert not any("wrong" in line for line in lines if line.startswith("deflate"))
