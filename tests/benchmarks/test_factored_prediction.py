from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "factored_prediction.py"


def test_the_benchmark_runs_and_both_ways_agree(tmp_path):
    out = tmp_path / "rows.json"
    command = [sys.executable, str(SCRIPT), "--resolutions", "32", "--members", "2", "--threads", "1", "--out", str(out)]
    subprocess.run(command, check=True, timeout=120, capture_output=True)
    (row,) = json.loads(out.read_text())["rows"]
    assert row["largest_difference"] < 1e-5
    assert row["factored_peak_mib"] < row["plain_peak_mib"]
