"""`hdgan tile RUN --shard 3/8` and `--sbatch FILE`: the slides of a run cut in shares, on a cluster with Slurm."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from hdgan.pipeline.steps import Run

CPUS, HOURS = 4, 4
"""What the file asks for each share; to be changed by who knows the cluster."""

SBATCH = """#!/bin/bash
# Cuts the slides of a run in {num} shares, then joins them. Hand in both jobs with
#
#     bash {file}
#
# The same again goes on with what is missing. Written by: hdgan tile RUN --sbatch {file} --shards {num}
#SBATCH --job-name=hdgan-tile
#SBATCH --array=1-{num}
#SBATCH --ntasks=1
#SBATCH --cpus-per-task={cpus}
#SBATCH --mem-per-cpu=1G
#SBATCH --time={hours:02d}:00:00
#SBATCH --output=hdgan-tile-%A_%a.log
#SBATCH --open-mode=append
#SBATCH --requeue
#SBATCH --signal=USR1@60
set -u

if [ -z "${{SLURM_ARRAY_TASK_ID:-}}" ]; then
    array=$(sbatch --parsable "$0") || exit
    # Task 0 of the second job joins. It waits until every share has ended well, and is withdrawn where one has not.
    join=$(sbatch --parsable --array=0 --dependency="afterok:${{array%%;*}}" --kill-on-invalid-dep=yes "$0") || exit
    echo "cutting: job ${{array%%;*}}, joining: job ${{join%%;*}}"
    exit
fi

set --
if [ "$SLURM_ARRAY_TASK_ID" -gt 0 ]; then
    set -- --shard "$SLURM_ARRAY_TASK_ID/{num}"
fi
if [ -z "${{SLURM_JOB_END_TIME:-}}" ]; then # Slurm 22.05 and older ones do not tell a job, and without it no share is known to have had all of its time
    second() {{ date -d "$(squeue -h -j "${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID" -o "$1")" +%s; }} 2>/dev/null
    SLURM_JOB_START_TIME=$(second %S)
    SLURM_JOB_END_TIME=$(second %e)
    export SLURM_JOB_START_TIME SLURM_JOB_END_TIME
fi
cpus=${{SLURM_CPUS_PER_TASK:-1}} # since Slurm 22.05 srun does not take it from the job, and might bind all workers to one core
srun --cpus-per-task="$cpus" {command} --workers "$cpus" {redo}"$@"
code=$?

# 75: stopped by a signal (the time limit is near), and the same command goes on. A share that finishes no slide ends otherwise; joining begins anew each time.
most=100
if [ "$SLURM_ARRAY_TASK_ID" -eq 0 ]; then
    most=10
fi
if [ "$code" -eq 75 ] && [ "${{SLURM_RESTART_COUNT:-0}}" -lt "$most" ]; then
    scontrol requeue "${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID"
elif [ "$code" -eq 75 ]; then
    echo "put back $most times and not done: ask for more time (--time), and hand this file in again" >&2
fi
exit "$code"
"""


def write_sbatch(run: Run, file: Path, *, num_shards: int, redo: bool) -> None:
    """Writes the file and says what to do with it.

    Raises:
        BadConfig: the sources are images, which are taken in one go.
        BadInput: a file of that name is there and is not one of ours, or it is a folder.
    """
    from hdgan.errors import BadConfig, BadInput
    from hdgan.store.atomic import write_text

    if run.config.tiles.images is not None:
        raise BadConfig("--sbatch", "is for slides; images that are cut already are taken in one go", "give the command without it")
    if file.is_dir():
        raise BadInput(file, "is a folder", "name a file")
    if file.exists() and "hdgan tile RUN --sbatch" not in file.read_text(encoding="utf-8", errors="replace"):
        raise BadInput(file, "exists and was not written by this command", "choose another name")
    root = run.folder.root.resolve()
    text = SBATCH.format(
        num=num_shards,
        file=shlex.quote(file.name),
        cpus=CPUS,
        hours=HOURS,
        command=shlex.join([sys.executable, "-m", "hdgan", "tile", str(root)]),
        redo="--redo " if redo else "",
    )
    write_text(file, text)
    typer.echo(f"{file}: cuts in {num_shards} shares and joins them; adapt what it asks for, then: bash {file}")


def cut_share(run: Run, text: str, *, redo: bool) -> None:
    """Cuts the share that `text` names and says how many slides are left.

    Raises:
        BadConfig: `text` names no share.
        HdganError: whatever the stage refuses.
    """
    from hdgan.cli.progress import showing
    from hdgan.tiles.shards import cut_shard, read_shard

    shard = read_shard(text)
    with showing() as progress:
        done = cut_shard(
            run.config.tiles,
            shard,
            out=run.stage("tiles"),
            seed=run.config.run.seed,
            base=run.base,
            redo=redo,
            limit_s=_time_limit_s(),
            progress=progress,
        )
    if done.was_finished:
        typer.echo(f"tiles: current, nothing to do ({run.stage('tiles')})")
        return
    left = f", {len(done.problems)} left out" if done.problems else ""
    typer.echo(
        f"tiles, share {text}: {done.num_slides - len(done.problems)} slides cut{left}; when all shares are, join them: hdgan tile {run.folder.root}"
    )


def _time_limit_s() -> float | None:
    """The time that Slurm gives this job, None where there is none or nobody says; where Slurm itself does not, the job file asks `squeue`."""
    try:
        start, end = (float(os.environ[f"SLURM_JOB_{which}_TIME"]) for which in ("START", "END"))
    except (KeyError, ValueError):
        return None
    return end - start if end > start else None
