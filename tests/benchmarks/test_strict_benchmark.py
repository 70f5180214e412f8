from __future__ import annotations

import json

from .scripts import printed


def test_a_strict_job_is_measured_beside_a_plain_one(tmp_path):
    options = ("--edge", 1024, "--tile-px", 256, "--rounds", 1, "--out", tmp_path / "rows.json")
    lines = printed("tiles/strict.py", "--cache", tmp_path, *options)
    (row,) = json.loads((tmp_path / "rows.json").read_text())["rows"]
    assert row["tiles"] > 4
    assert 0 < row["plain"] < 60
    assert row["ratio"] == row["strict"] / row["plain"]
    assert lines[-1].startswith(f"| painted-1024-q90-0.tif | {row['tiles']} | {row['plain']:.2f} | ")
    assert not list(tmp_path.glob("strict-*"))


def test_reading_apart_is_measured_beside_reading_here(tmp_path):
    options = ("--edge", 1024, "--tile-px", 256, "--num", 3, "--rounds", 2, "--out", tmp_path / "rows.json")
    lines = printed("tiles/unstored.py", "--cache", tmp_path, *options)
    (row,) = json.loads((tmp_path / "rows.json").read_text())["rows"]
    for way in ("here", "apart"):
        seconds, processor_seconds = row[way]
        assert 0 < seconds < 60
        assert 0 <= processor_seconds < 60
    assert len(lines) == 3
