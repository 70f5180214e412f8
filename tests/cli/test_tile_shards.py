"""Shares of a run from the command line, and the job file for Slurm: handed in to a Slurm of a few lines."""

from __future__ import annotations

import os
import re
import shlex
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from hdgan.cli.main import VERBS
from hdgan.cli.tile_shards import _time_limit_s
from hdgan.errors import HdganError, Interrupted
from hdgan.tiles import work
from tests.slides.painting import paint, write_slide

SETTINGS = '[run]\nname = "x"\n[tiles]\nslides = ["a.tif", "b.tif"]\nmpp = 1.0\ntile_px = 64\nnum_folds = 1\n[generator]\nresolution = 64\n'
SBATCH = """#!/bin/bash
echo "$@" >> "$LOG/sbatch"
number=$(wc -l < "$LOG/sbatch")
echo "$number;cluster"
"""
SRUN = '#!/bin/bash\nprintf "%s\\n" "$@" > "$LOG/srun"\necho "${SLURM_JOB_START_TIME-}|${SLURM_JOB_END_TIME-}" > "$LOG/times"\nexit $CODE\n'
SQUEUE = """#!/bin/bash
echo "$@" >> "$LOG/squeue"
case "$QUEUE-${@: -1}" in
    limited-%S) echo 2026-11-30T12:00:00 ;;
    limited-%e) echo 2026-11-30T16:30:00 ;;
    endless-%S) echo 2026-11-30T12:00:00 ;;
    endless-%e) echo N/A ;;
    *) echo "slurm_load_jobs error: Invalid job id specified" >&2; exit 1 ;;
esac
"""
SCONTROL = '#!/bin/bash\necho "$@" >> "$LOG/scontrol"\n'


@pytest.fixture
def run(tmp_path):
    for seed, name in enumerate("ab"):
        write_slide(tmp_path / f"{name}.tif", paint(seed=seed))
    (tmp_path / "x.toml").write_text(SETTINGS)
    return tmp_path / "the run"


@pytest.fixture
def file(hdgan, run, tmp_path):
    """The job file of the run, in three shares."""
    path = tmp_path / "tiles.sh"
    code, said, error = hdgan("tile", run, "--config", tmp_path / "x.toml", "--sbatch", path, "--shards", "3")
    assert code == 0, error
    assert f"then: bash {path}" in said
    return path


@pytest.fixture
def slurm(tmp_path):
    """Runs the job file as a user or as Slurm does; gives its exit code and what it said."""
    place, log = tmp_path / "slurm", tmp_path / "log"
    place.mkdir()
    log.mkdir()
    for name, text in (("sbatch", SBATCH), ("srun", SRUN), ("scontrol", SCONTROL), ("squeue", SQUEUE)):
        (place / name).write_text(text)
        (place / name).chmod(0o755)

    def call(file, code=0, **more):
        environment = {"PATH": f"{place}{os.pathsep}{os.environ['PATH']}", "LOG": str(log), "CODE": str(code), "QUEUE": "none"} | more
        done = subprocess.run(["bash", str(file)], env=environment, capture_output=True, text=True, timeout=30, check=False)
        call.error = done.stderr
        return done.returncode, done.stdout

    call.log = log
    return call


def test_shares_are_cut_one_by_one_and_joined(hdgan, run, tmp_path):
    settings = ("--config", tmp_path / "x.toml", "--workers", "0")
    for number in (1, 2):
        code, said, error = hdgan("tile", run, "--shard", f"{number}/2", *settings)
        assert code == 0, error
        assert f"share {number}/2: 1 slides cut; when all shares are, join them: hdgan tile" in said
        assert not (run / "1-tiles" / "manifest.json").exists()
    code, said, _ = hdgan("tile", run, "--workers", "1")
    assert code == 0
    assert hdgan("verify", run)[0] == 0
    assert "current, nothing to do" in hdgan("tile", run, "--shard", "1/2")[1]


def test_what_does_not_go_together_is_refused(hdgan, refused, run, tmp_path):
    settings = ("--config", tmp_path / "x.toml")
    assert "is no share" in refused("tile", run, *settings, "--shard", "3/2")
    for flags in (
        ("--shards", "3"),
        ("--sbatch", tmp_path / "f", "--shard", "1/2"),
        ("--sbatch", tmp_path / "f", "--rebuild"),
        ("--shard", "1/2", "--scheduler", "local"),
        ("--shard", "1/2", "--what-if"),
        ("--workers", "-1"),
    ):
        assert hdgan("tile", run, *settings, *flags)[0] == 2
    assert not (tmp_path / "f").exists()


def test_a_file_of_somebody_else_is_not_written_over(hdgan, refused, run, file):
    assert hdgan("tile", run, "--sbatch", file, "--shards", "5")[0] == 0
    assert "#SBATCH --array=1-5" in file.read_text()
    file.write_text("mine")
    assert "exists and was not written by this command" in refused("tile", run, "--sbatch", file)
    assert file.read_text() == "mine"


def test_a_file_is_not_written_in_the_place_of_a_folder_or_for_images(refused, run, tmp_path):
    assert f"{tmp_path}: is a folder; name a file" in refused("tile", run, "--config", tmp_path / "x.toml", "--sbatch", tmp_path)
    (tmp_path / "images.toml").write_text(SETTINGS.replace("[generator]", "[tiles.images]\n[generator]"))
    file = tmp_path / "tiles.sh"
    assert "--sbatch: is for slides" in refused("tile", tmp_path / "other", "--config", tmp_path / "images.toml", "--sbatch", file)
    assert not file.exists()


def test_the_file_is_bash_and_asks_slurm_for_what_resuming_needs(file):
    subprocess.run(["bash", "-n", file], check=True)
    options = dict(re.findall(r"^#SBATCH --([a-z-]+)(?:=(\S+))?$", file.read_text(), flags=re.MULTILINE))
    assert options["array"] == "1-3"
    assert {"requeue", "cpus-per-task", "mem-per-cpu", "time"} <= set(options)
    assert re.fullmatch(r"USR1@\d+", options["signal"])
    assert "%A_%a" in options["output"]
    assert options["open-mode"] == "append"


def test_handed_in_it_becomes_an_array_and_a_join_that_waits_for_it(file, slurm):
    code, said = slurm(file)
    assert code == 0
    first, second = (slurm.log / "sbatch").read_text().splitlines()
    assert shlex.split(first) == ["--parsable", str(file)]
    assert shlex.split(second) == ["--parsable", "--array=0", "--dependency=afterok:1", "--kill-on-invalid-dep=yes", str(file)]
    assert said == "cutting: job 1, joining: job 2\n"
    assert not (slurm.log / "srun").exists()


@pytest.mark.parametrize(("task", "share"), [("2", ["--shard", "2/3"]), ("0", [])])
def test_each_task_cuts_its_share_and_task_0_joins(file, slurm, run, task, share):
    code, _ = slurm(file, SLURM_ARRAY_TASK_ID=task, SLURM_ARRAY_JOB_ID="77", SLURM_CPUS_PER_TASK="4")
    assert code == 0
    cores, python, *arguments = (slurm.log / "srun").read_text().splitlines()
    assert cores == "--cpus-per-task=4"
    assert python == sys.executable
    assert arguments == ["-m", "hdgan", "tile", str(run), "--workers", "4", *share]
    assert arguments[2] in VERBS


def test_only_the_code_that_says_resume_puts_the_task_back_into_the_queue(file, slurm):
    task = {"SLURM_ARRAY_TASK_ID": "2", "SLURM_ARRAY_JOB_ID": "77"}
    for code in (0, HdganError.exit_code, 137):
        assert slurm(file, code, **task)[0] == code
    assert not (slurm.log / "scontrol").exists()
    assert slurm(file, Interrupted.exit_code, **task)[0] == 75
    assert (slurm.log / "scontrol").read_text() == "requeue 77_2\n"
    slurm(file, Interrupted.exit_code, SLURM_RESTART_COUNT="100", **task)
    assert (slurm.log / "scontrol").read_text().count("requeue") == 1
    assert slurm.error == "put back 100 times and not done: ask for more time (--time), and hand this file in again\n"


def test_joining_which_begins_anew_each_time_is_not_put_back_for_ever(file, slurm):
    task = {"SLURM_ARRAY_TASK_ID": "0", "SLURM_ARRAY_JOB_ID": "78"}
    assert slurm(file, Interrupted.exit_code, SLURM_RESTART_COUNT="9", **task)[0] == 75
    assert (slurm.log / "scontrol").read_text() == "requeue 78_0\n"
    assert slurm(file, Interrupted.exit_code, SLURM_RESTART_COUNT="10", **task)[0] == 75
    assert (slurm.log / "scontrol").read_text().count("requeue") == 1
    assert "put back 10 times and not done: ask for more time" in slurm.error


def test_a_share_that_finishes_no_slide_in_the_time_of_its_job_ends_in_a_line(hdgan, run, tmp_path, monkeypatch):
    def ended(*_arguments, **_more):
        raise Interrupted("stopped by SIGUSR1")

    monkeypatch.setattr(work, "score_cells", ended)
    share = ("tile", run, "--config", tmp_path / "x.toml", "--workers", "0", "--shard", "1/1")
    for start, end in (("1000", "2000"), ("1000", "1000.001"), ("1000", "1000.001")):  # in the first the time was not over
        monkeypatch.setenv("SLURM_JOB_START_TIME", start)
        monkeypatch.setenv("SLURM_JOB_END_TIME", end)
        assert hdgan(*share)[0] == 75
    code, _, error = hdgan(*share)
    assert (code, error.splitlines()[-1].startswith("hdgan: ")) == (2, True)
    assert "share 1/1 was ended 3 times in a row before a slide was finished" in error


def test_the_time_of_a_job_is_asked_for_where_slurm_does_not_tell_it(file, slurm, monkeypatch):
    def limit_s(**more):
        assert slurm(file, SLURM_ARRAY_TASK_ID="2", SLURM_ARRAY_JOB_ID="77", **more)[0] == 0
        assert slurm.error == ""
        start, end = (slurm.log / "times").read_text().strip().split("|")
        monkeypatch.setenv("SLURM_JOB_START_TIME", start)
        monkeypatch.setenv("SLURM_JOB_END_TIME", end)
        return _time_limit_s()

    assert limit_s(SLURM_JOB_START_TIME="1000", SLURM_JOB_END_TIME="1900") == 900
    assert not (slurm.log / "squeue").exists()
    assert limit_s(QUEUE="limited") == 4.5 * 3600
    assert (slurm.log / "squeue").read_text().splitlines() == ["-h -j 77_2 -o %S", "-h -j 77_2 -o %e"]
    assert limit_s(QUEUE="endless") is None
    assert limit_s() is None


def test_redo_is_asked_of_every_share_and_of_the_join(hdgan, run, file, slurm):
    assert hdgan("tile", run, "--sbatch", file, "--redo")[0] == 0
    for task in "01":
        slurm(file, SLURM_ARRAY_TASK_ID=task, SLURM_ARRAY_JOB_ID="77")
        assert "--redo" in (slurm.log / "srun").read_text().splitlines()


def test_the_command_in_the_file_runs(hdgan, file, run):
    (line,) = re.findall(r'^srun --cpus-per-task="\$cpus" (.*) --workers .*"\$@"$', file.read_text(), flags=re.MULTILINE)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    subprocess.run([*shlex.split(line), "--workers", "1"], check=True, env=environment, stderr=subprocess.DEVNULL, timeout=60)
    assert (run / "1-tiles" / "manifest.json").exists()
    assert stat.S_ISREG(file.stat().st_mode)
