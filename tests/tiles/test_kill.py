"""The job is killed from outside (SIGKILL) at random moments, and goes on."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import numpy as np

from hdgan.tiles.stage import run_tiles
from tests.slides.painting import paint, write_slide

from .test_stage import outputs

JOB = """
import sys
from pathlib import Path
from hdgan.tiles.config import TilesConfig
from hdgan.tiles.stage import run_tiles
config = TilesConfig.model_validate_json(sys.argv[1])
print("begins", flush=True)
run_tiles(config, out=Path(sys.argv[2]), seed=0, base=Path(sys.argv[3]))
"""
NUM_KILLS = 8


def test_killed_at_random_moments_it_resumes_to_the_same_bytes(tmp_path, cohort, config):
    for seed in range(3, 7):
        write_slide(cohort / f"more{seed}.tif", paint(900, 700, seed=seed))
    config = config.model_copy(update={"slides": ("slides.csv", "more*.tif"), "stride_px": 16})
    began = time.monotonic()
    run_tiles(config, out=tmp_path / "whole", seed=0, base=cohort)
    seconds = time.monotonic() - began
    delays = np.random.default_rng().uniform(0.02, max(0.3, seconds / 3), NUM_KILLS)  # each leaves work for the next
    command = [sys.executable, "-c", JOB, config.model_dump_json(), str(tmp_path / "killed"), str(cohort)]
    num_killed = 0
    for delay in delays:
        with subprocess.Popen(command, stdout=subprocess.PIPE) as job:
            assert job.stdout is not None
            assert job.stdout.readline() == b"begins\n"
            time.sleep(delay)
            job.send_signal(signal.SIGKILL)
            num_killed += job.wait() == -signal.SIGKILL
        if (tmp_path / "killed" / "manifest.json").exists():
            break
    assert num_killed >= 1
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert outputs(tmp_path / "killed") == outputs(tmp_path / "whole"), f"delays {delays.tolist()}"
