from __future__ import annotations

import json

from .scripts import printed


def test_jobs_killed_at_random_instants_end_with_the_same_bytes(tmp_path):
    lines = printed("tiles/kills.py", "--cache", tmp_path, "--kills", 2, "--slides", 2, "--out", tmp_path / "counts.json")
    counts = json.loads((tmp_path / "counts.json").read_text())
    assert counts["job"] + counts["worker"] == 2
    assert counts["identical"] == counts["jobs"] >= 1
    assert counts["leftovers"] == 0
    assert "finished with every file identical" in lines[-1]
