from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.slides.jpeg_painting import write_jpeg_slide
from tests.slides.painting import paint

from .scripts import printed

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
    noted = [line for line in lines if line.startswith("jpeg 4") and "zeros" in line]
    assert len(noted) == 4
    assert all("same wrong but noted 2" in line for line in noted)


def test_the_damage_benchmark_counts_complaints_of_a_slide(tmp_path):
    slide = write_jpeg_slide(tmp_path / "a.tif", paint(512, 384, tissue=(0, 0, 1, 1)), tile=128, levels=1)
    counts = {line[15:33].strip(): line.split("noted ")[1] for line in printed("tiles/seen_damage.py", "--slide", slide)}
    assert counts["intact"] == "0 of 12"
    assert counts["300 zeros"] == "12 of 12"
    assert len(counts) == 6


def test_the_disagreement_benchmark_tells_every_treatment(tmp_path):
    slide = write_jpeg_slide(tmp_path / "a.tif", paint(1024, 768), tile=128, levels=3)
    lines = printed("tiles/disagreement.py", slide, f"{slide}@0.4", "--mpp", "1.0", "--tile-px", "64")
    assert len(lines) == 18
    assert lines[0] == "a.tif: 48 tiles of 64 px at 1 um/px, overview at 1 um/px"
    assert "as it is" in lines[1]
    assert lines[1].endswith("suspect 0")
    assert float(lines[1].split()[-3]) < float(lines[7].split()[-3])  # shifted by 2 px
