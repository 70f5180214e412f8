from __future__ import annotations

import json

from .scripts import printed


def test_one_and_two_workers_and_two_jobs_are_measured_with_the_memory_of_a_worker(tmp_path):
    options = ("--slides", 2, "--edge", 1024, "--tile-px", 256, "--rounds", 1, "--out", tmp_path / "rows.json")
    lines = printed("tiles/workers.py", "--cache", tmp_path, *options)
    rows = json.loads((tmp_path / "rows.json").read_text())["rows"]
    assert set(rows) == {"1", "2", "two jobs of 1"}
    for row in rows.values():
        assert 0 < row["cutting"] < row["seconds"]
        assert 20 < row["peak_mb"] < 500
    assert "two workers: " in lines[-2]
    assert "two jobs with half of the slides each: " in lines[-1]
