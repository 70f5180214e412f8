from __future__ import annotations

import json

import pytest

from tests.benchmarks.scripts import printed

TOY = ("--images", 3, "--num-blocks", 2, "--pixels", 200, "--members", 1)


@pytest.mark.slow
def test_planned_memory_and_disk_are_told_beside_what_was_measured(tmp_path):
    out = tmp_path / "rows.json"
    lines = printed("labels/memory.py", "--resolutions", 32, "--channel-base", 512, *TOY, "--sources", "native", "recompute", "--out", out)
    rows = {row["source"]: row for row in json.loads(out.read_text())}
    assert [line.split()[2] for line in lines] == ["native", "recompute"]
    assert rows["native"]["measured_disk"] == rows["native"]["planned_disk"] + 3 * 128  # the headers
    assert rows["recompute"]["measured_disk"] == rows["recompute"]["planned_disk"] == 0
    for row in rows.values():
        assert 0.5 < row["planned_bytes"] / row["measured_bytes"] < 2
        assert row["measured_bytes"] >= row["features_bytes"] > 10e6


@pytest.mark.slow
def test_the_large_fit_runs_small_and_stores_nothing(tmp_path):
    out = tmp_path / "row.json"
    (line,) = printed("labels/fit_large.py", "--resolution", 64, *TOY, "--threads", 1, "--out", out)
    row = json.loads(out.read_text())
    assert line.startswith("64 px, 3 images, last 2 blocks, 1 classifiers (1 in a pass): peak ")
    assert (row["source"], row["measured_disk"]) == ("recompute", 0)
    assert 0.5 < row["planned_bytes"] / row["measured_bytes"] < 2


@pytest.mark.slow
def test_the_memory_of_an_evaluation_is_told_after_that_of_the_stages_before_it():
    sizes = ("--resolution", 64, "--images", 3, "--test", 1)
    lines = printed("labels/evaluate_large.py", *sizes, "--controls", "filters")
    assert [line.split(": ")[1] for line in lines] == ["features", "classifier", "evaluation"]
    peaks = [float(line.split("peak so far ")[1].split(" GB")[0]) for line in lines]
    assert 0 < peaks[0] <= peaks[1] <= peaks[2]
