"""A share of a job of tiles is killed on a real Slurm, where this machine has one of its own. Requeueing takes minutes: that is `benchmarks/slurm.py` alone."""

from __future__ import annotations

import re
import socket
import subprocess

import pytest

from .scripts import loaded, printed


def test_a_share_killed_on_slurm_and_handed_in_again_ends_with_the_same_bytes(tmp_path):
    if why := loaded("slurm.py").absent():
        pytest.skip(f"no Slurm here: {why}")
    nodes = subprocess.run(["scontrol", "show", "nodes"], capture_output=True, text=True, timeout=30, check=True).stdout
    if set(re.findall(r"NodeHostName=(\S+)", nodes)) != {socket.gethostname()}:
        pytest.skip("the nodes of this Slurm are other machines, which do not see the folders of tests: run benchmarks/slurm.py")
    _, line = printed("slurm.py", "--cache", tmp_path, "--only", "killed", "--slides", 8, "--stride", 12)
    assert line.startswith("killed: one of 4 shares, joining withdrawn, handed in again: every byte the same")


def test_where_slurm_is_absent_or_silent_the_script_says_which(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    script = loaded("slurm.py")
    assert script.absent() == "no sbatch"
    for name in ("sbatch", "scontrol"):
        (tmp_path / name).write_text("#!/bin/sh\necho 'Slurmctld(primary) at vm is DOWN'\n")
        (tmp_path / name).chmod(0o755)
    assert script.absent() == "no controller answers"
    (tmp_path / "scontrol").write_text("#!/bin/sh\necho 'Slurmctld(primary) at vm is UP'\n")
    assert script.absent() == ""
