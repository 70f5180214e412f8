"""The job is killed from outside (SIGKILL) at random moments, and goes on."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import numpy as np
import pytest

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
NUM_KILLS = 5
NUM_SLIDES = 20


def test_killed_at_seeded_moments_it_resumes_to_the_same_bytes(tmp_path, config):
    cohort = tmp_path / "scans"
    cohort.mkdir()
    for seed in range(NUM_SLIDES):
        write_slide(cohort / f"s{seed:02d}.tif", paint(400, 320, seed=seed))
    config = config.model_copy(update={"slides": ("*.tif",), "stride_px": 24, "workers": 2})
    began = time.monotonic()
    run_tiles(config, out=tmp_path / "whole", seed=0, base=cohort)
    seconds = time.monotonic() - began
    shares = np.sort(np.random.default_rng(4).uniform(0.05, 0.7, NUM_KILLS))  # of that time: each kill leaves work for the next
    command = [sys.executable, "-c", JOB, config.model_dump_json(), str(tmp_path / "killed"), str(cohort)]
    num_killed = 0
    for share in shares:
        with subprocess.Popen(command, stdout=subprocess.PIPE) as job:
            assert job.stdout is not None
            assert job.stdout.readline() == b"begins\n"
            time.sleep(share * seconds)
            job.send_signal(signal.SIGKILL)
            num_killed += job.wait() == -signal.SIGKILL
        if (tmp_path / "killed" / "manifest.json").exists():
            break
    assert num_killed >= 1
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert outputs(tmp_path / "killed") == outputs(tmp_path / "whole"), f"shares {shares.tolist()}"
    assert not list((tmp_path / "killed").rglob(".partial-*"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_ends_job_and_workers_at_once_and_the_same_command_goes_on(tmp_path, number):
    for seed in range(3):
        write_slide(tmp_path / f"s{seed}.tif", paint(1500, 1200, seed=seed))
    settings = '[run]\nname = "x"\n[tiles]\nslides = ["*.tif"]\nmpp = 1.0\ntile_px = 64\nstride_px = 4\nnum_folds = 1\n[generator]\nresolution = 64\n'
    (tmp_path / "x.toml").write_text(settings)
    command = [sys.executable, "-m", "hdgan", "tile", tmp_path / "run", "--config", tmp_path / "x.toml", "--workers", "2"]
    parts = tmp_path / "run" / "1-tiles" / "parts"
    # Whoever starts these tests in the background has SIGINT ignored, and what they start would inherit it.
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
    ) as job:
        while len(list(parts.glob(".partial-*"))) < 2:
            time.sleep(0.02)
        began = time.monotonic()
        job.send_signal(number)
        _, said = job.communicate(timeout=30)
    assert job.returncode == 75
    assert time.monotonic() - began < 5
    assert "the same command goes on from here" in said
    assert "Traceback" not in said
    assert list(parts.glob(".partial-*")) == []
    assert not (tmp_path / "run" / "1-tiles" / "manifest.json").exists()
