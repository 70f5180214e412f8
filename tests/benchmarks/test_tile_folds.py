from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "benchmarks" / "tiles" / "folds.py"


def test_the_benchmark_runs_and_ours_spreads_the_values_better(tmp_path):
    pytest.importorskip("sklearn", reason="scikit-learn is the benchmark's baseline")
    out = tmp_path / "rows.json"
    command = [sys.executable, str(SCRIPT), "--seeds", "1", "--patients", "60", "--out", str(out)]
    printed = subprocess.run(command, check=True, timeout=120, capture_output=True, text=True).stdout
    (row,) = json.loads(out.read_text())
    assert row["patients"] == 60
    assert "tiles values rms" in printed
    for unit in ("slides", "tiles"):
        assert row["ratios"][f"{unit} values rms"] < 0.9
        assert row["measures"]["ours"][f"{unit} values largest"] <= row["measures"]["ours"][f"{unit} every largest"]


def test_the_baseline_is_no_dependency_of_the_package():
    assert [path for path in (ROOT / "src").rglob("*.py") if "sklearn" in path.read_text()] == []
