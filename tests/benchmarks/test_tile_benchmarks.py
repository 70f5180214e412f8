from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import openslide

FOLDER = Path(__file__).parents[2] / "benchmarks" / "tiles"


def run(script: str, cache: Path, *more: str) -> list[dict]:
    out = cache / f"{script}.json"
    command = [sys.executable, str(FOLDER / script), "--cache", str(cache), "--edge", "1500", "--tile-px", "256", "--out", str(out), *more]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    return json.loads(out.read_text())["rows"]


def test_stores_are_measured_on_a_painted_slide_that_is_kept(tmp_path):
    rows = {row["format"]: row for row in run("stores.py", tmp_path, "--num", "2", "--rounds", "1")}
    assert set(rows) == {"png", "jxl", "jpeg", "raw", "none"}
    assert rows["none"]["mb"] == 0 < rows["raw"]["mb"] < rows["jxl"]["mb"] < rows["png"]["mb"]
    (path,) = tmp_path.glob("painted-*.tif")
    assert path.stat().st_size > 0.15 * 1500**2, "as rich as tissue"
    with openslide.OpenSlide(path) as slide:
        assert slide.level_dimensions == ((1500, 1500), (375, 375))


def test_the_whole_job_is_measured_beside_the_plain_loop(tmp_path):
    rows = {row["way"]: row for row in run("job.py", tmp_path, "--formats", "auto", "png", "raw", "--max-background", "0.9")}
    assert set(rows) == {"auto", "png", "raw", "plain default", "plain 1"}
    assert all(row["cpu"] > 0 and row["peak"] > 20 and row["tiles"] > 5 for row in rows.values())
    assert rows["raw"]["mb"] < 0.5 * rows["png"]["mb"]
    assert rows["auto"]["mb"] == rows["raw"]["mb"], "the grid of the tiles is that of the slide"


def test_the_memory_of_a_job_is_told_with_the_size_of_its_overview(tmp_path):
    (row,) = run("memory.py", tmp_path)
    assert row["overview_px"] == 375**2, "64 px across a tile"
    assert 20 < row["peak"] < 500
