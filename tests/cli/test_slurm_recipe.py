"""The sbatch recipe, run by a Slurm of four lines: what it starts, and what it does with each exit code."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from hdgan.cli.main import VERBS
from hdgan.errors import HdganError, Interrupted
from hdgan.training.ranks import Rank, rank_of
from hdgan.training.signals import StopRequest

RECIPE = Path(__file__).parents[2] / "recipes" / "slurm_train.sbatch"
SRUN = """#!/bin/bash
while [[ $1 == --* ]]; do echo "$1" >> "$LOG/options"; shift; done
last=0
for n in 0 1; do SLURM_PROCID=$n SLURM_LOCALID=0 SLURM_NTASKS=2 "$@"; code=$?; (( code > last )) && last=$code; done
exit $last
"""
SCONTROL = '#!/bin/bash\nif [ "$1" = show ]; then printf "node1\\nnode2\\n"; else echo "$@" >> "$LOG/asked"; fi\n'
HDGAN = '#!/bin/bash\nenv | grep -E "^(RANK|LOCAL_RANK|WORLD_SIZE|MASTER_ADDR|MASTER_PORT)=" > "$LOG/rank-$RANK"\necho "$@" > "$LOG/verb"\nexit $CODE\n'


@pytest.fixture
def sbatch(tmp_path):
    """Runs the recipe as Slurm would; gives its exit code and the folder of what was called."""
    for name, text in (("srun", SRUN), ("scontrol", SCONTROL), ("hdgan", HDGAN)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)

    def call(code, **more):
        slurm = {"SLURM_JOB_ID": "41234", "SLURM_JOB_NODELIST": "node[1-2]", "SLURM_CPUS_PER_TASK": "8"}
        environment = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "LOG": str(tmp_path), "CODE": str(code)} | slurm | more
        done = subprocess.run(["bash", str(RECIPE), "runs/kidney"], env=environment, timeout=30, check=False)
        return done.returncode, tmp_path

    return call


def test_each_process_is_told_its_rank_and_where_the_first_one_is(sbatch):
    code, log = sbatch(0)
    assert code == 0
    for number in range(2):
        environment = dict(line.split("=") for line in (log / f"rank-{number}").read_text().splitlines())
        assert rank_of(environment) == Rank(number, 2, 0)
        assert environment["MASTER_ADDR"] == "node1"
        assert 20000 <= int(environment["MASTER_PORT"]) < 40000
    assert "--cpus-per-task=8" in (log / "options").read_text().splitlines()  # srun of Slurm 22.05 and later does not take it from the job
    verb, run = (log / "verb").read_text().split()
    assert verb in VERBS
    assert run == "runs/kidney"


def test_only_the_code_that_says_resume_puts_the_job_back_into_the_queue(sbatch):
    for code in (0, 1, HdganError.exit_code):
        assert sbatch(code)[0] == code
    _, log = sbatch(0)
    assert not (log / "asked").exists()
    assert sbatch(Interrupted.exit_code)[0] == 75
    assert (log / "asked").read_text() == "requeue 41234\n"
    sbatch(Interrupted.exit_code, SLURM_RESTART_COUNT="100")
    assert (log / "asked").read_text().count("requeue") == 1


def test_a_killed_process_is_tried_again_three_times(sbatch):
    for number in range(5):
        code, log = sbatch(137, SLURM_RESTART_COUNT=str(number))
        assert code == 137
    assert (log / "asked").read_text().count("requeue 41234") == 3


def test_slurm_is_asked_to_requeue_and_to_send_a_signal_that_saves():
    options = dict(re.findall(r"^#SBATCH --([a-z-]+)(?:=(\S+))?$", RECIPE.read_text(), flags=re.MULTILINE))
    assert "requeue" in options
    name, seconds = options["signal"].split("@")
    assert f"SIG{name}" in {number.name for number in StopRequest._SIGNALS}
    assert int(seconds) >= 60
    assert options["ntasks-per-node"] == options["gpus-per-node"]
    assert options["open-mode"] == "append"
