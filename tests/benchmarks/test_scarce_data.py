from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "generator" / "scarce_data.py"
TOY = ["--tiles", "6", "--kimg", "0.048", "--resolution", "16", "--images", "24"]


def test_each_set_has_a_row_and_finished_rows_are_not_trained_again(tmp_path):
    out = tmp_path / "rows.jsonl"
    command = [sys.executable, str(SCRIPT), *TOY, "--out", str(out)]
    printed = [
        subprocess.run([*command, "--sets", "none", *more], check=True, timeout=120, capture_output=True, text=True).stdout
        for more in ([], ["histology"])
    ]
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["key"][:2] for row in rows] == [[6, "none"], [6, "histology"]]
    for row in rows:
        assert len(row["distances"]) == 6
        assert all(math.isfinite(value) for value in row["distances"])
        assert row["best"] == min(row["distances"])
    real = float(printed[0].splitlines()[1].split()[1])
    assert real < min(row["best"] for row in rows)
    assert printed[1].startswith(printed[0])
