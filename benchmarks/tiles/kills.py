"""SIGKILL at random instants of a job of 20 slides, until it has been sent often enough: does the same command finish with the same bytes?

    python benchmarks/tiles/kills.py --cache CACHE [--kills 50] [--workers 2] [--seed 0]

Each instant is drawn evenly over the time that the job takes undisturbed; the victim is the job itself or, every other time, one of its workers. A job that was
killed is begun again with the same command, and killed again if it is still at work then; one that ends is compared, every file but the
provenance, with one that was never disturbed, and the next job begins in an empty folder.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import tifffile

NUM_SLIDES = 20
WIDTH_PX, HEIGHT_PX = 1100, 800
JOB = """
import sys
from pathlib import Path
from hdgan.tiles.config import TilesConfig
from hdgan.tiles.stage import run_tiles
config = TilesConfig(slides=("*.tif",), mpp=1.0, tile_px=64, stride_px=24, num_folds=2, workers=int(sys.argv[3]))
print("begins", flush=True)
run_tiles(config, out=Path(sys.argv[1]), seed=0, base=Path(sys.argv[2]))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True, help="folder for slides and results; what lies in it below `kills` is removed")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--slides", type=int, default=NUM_SLIDES)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="counts as JSON")
    options = parser.parse_args()
    folder = options.cache.absolute() / "kills"
    shutil.rmtree(folder, ignore_errors=True)
    slides = painted(folder / "slides", num=options.slides)
    whole, seconds = undisturbed(folder / "whole", slides, options.workers)
    print(
        f"{options.slides} slides, {options.workers} workers, undisturbed in {seconds:.1f} s: {len(whole)} files, {total_mb(whole):.1f} MB"
    )
    counts = killed(folder / "job", slides, whole, seconds, options)
    print(f"killed {counts['job']} times as a job and {counts['worker']} times as a worker, over {counts['jobs']} jobs")
    print(f"{counts['identical']} of {counts['jobs']} finished with every file identical, {counts['leftovers']} left something behind")
    if options.out:
        options.out.write_text(json.dumps(counts))
    sys.exit(counts["identical"] != counts["jobs"] or counts["leftovers"] > 0)


def killed(out: Path, slides: Path, whole: dict[str, bytes], seconds: float, options: argparse.Namespace) -> dict[str, int]:
    """How often what was killed, how many jobs came to their end, and how many of them with the bytes of `whole`."""
    rng = np.random.default_rng(options.seed)
    counts = dict.fromkeys(("job", "worker", "jobs", "identical", "leftovers"), 0)
    while counts["job"] + counts["worker"] < options.kills:
        shutil.rmtree(out, ignore_errors=True)
        victim = "job"
        while victim == "job":  # until the command comes to its end
            is_enough = counts["job"] + counts["worker"] >= options.kills
            victim = once(out, slides, options.workers, delay=np.inf if is_enough else rng.uniform(0, seconds), rng=rng)
            if victim:
                counts[victim] += 1
        counts["jobs"] += 1
        counts["identical"] += files(out) == whole
        counts["leftovers"] += bool(list(out.rglob(".partial-*"))) or (out / "parts").exists()
    return counts


def once(out: Path, slides: Path, num_workers: int, *, delay: float, rng: np.random.Generator) -> str:
    """Runs the job and kills it, or one of its workers, after `delay` seconds; which, or nothing where it was faster."""
    with subprocess.Popen([sys.executable, "-c", JOB, out, slides, str(num_workers)], stdout=subprocess.PIPE) as job:
        assert job.stdout is not None
        job.stdout.readline()
        try:
            job.wait(None if np.isinf(delay) else delay)
        except subprocess.TimeoutExpired:
            workers = children(job.pid)
            victim = int(rng.choice(workers)) if workers and rng.random() < 0.5 else job.pid
            os.kill(victim, signal.SIGKILL)
            code = job.wait()
            if victim != job.pid and code != 0:
                raise SystemExit(f"a worker was killed and the job ended with {code}") from None
            return "job" if victim == job.pid else "worker"
        if job.returncode != 0:
            raise SystemExit(f"the job ended with {job.returncode}")
    return ""


def children(process: int) -> list[int]:
    """The workers of a process: its children, forked or spawned, but the one that watches resources."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rsplit(")", 1)[1].split()[1])
            if parent == process and b"resource_tracker" not in stat.with_name("cmdline").read_bytes():
                found.append(int(stat.parent.name))
        except OSError:  # it has ended
            continue
    return sorted(found)


def undisturbed(out: Path, slides: Path, num_workers: int) -> tuple[dict[str, bytes], float]:
    once(out, slides, num_workers, delay=np.inf, rng=np.random.default_rng())
    shutil.rmtree(out)
    began = time.monotonic()
    once(out, slides, num_workers, delay=np.inf, rng=np.random.default_rng())
    return files(out), time.monotonic() - began


def files(folder: Path) -> dict[str, bytes]:
    own = ("provenance.json", ".lock")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name not in own}


def total_mb(found: dict[str, bytes]) -> float:
    return sum(map(len, found.values())) / 1e6


def painted(folder: Path, *, num: int) -> Path:
    """`num` small slides of noise on glass."""
    folder.mkdir(parents=True)
    for seed in range(num):
        rng = np.random.default_rng(seed)
        image = np.full((HEIGHT_PX, WIDTH_PX, 3), 241, np.uint8)
        top, left = rng.integers(0, 200, 2)
        tissue = image[top : top + 560, left : left + 800]
        tissue[:] = np.array([190, 120, 170]) - rng.integers(0, 90, tissue.shape)
        scale = {"resolution": (2e4, 2e4), "resolutionunit": "CENTIMETER"}
        tifffile.imwrite(folder / f"s{seed:02d}.tif", image, tile=(128, 128), photometric="rgb", compression="zlib", metadata=None, **scale)
    return folder


if __name__ == "__main__":
    main()
