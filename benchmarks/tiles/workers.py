"""Seconds of a whole `hdgan tile` job with one worker and with two, and the peak memory of a worker.

    python benchmarks/tiles/workers.py --cache CACHE [--slides 4] [--edge 8192] [--tile-px 4096] [--format jxl] [--rounds 3]

Jobs with one and two workers take turns, so that what else the machine does meets both; the least of the rounds is shown. "Cutting" leaves out
what is done before and after: opening and hashing slides, joining and hashing tiles, the sheet and the report. The peak is the largest of any
worker's, read from /proc while it works.
Beside them stand two whole jobs of one worker, each with half of the slides, at the same time: they share nothing, so no way of working with
two processes on this machine can be much faster (two virtual cores are seldom two whole ones).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from kills import children
from painted_slide import MPP, painted_slide

JOB = """
import sys, time
from pathlib import Path
from hdgan.progress import Silent
from hdgan.tiles.config import TilesConfig
from hdgan.tiles.stage import run_tiles
class Clock(Silent):
    def start(self, label, *, total, done=0):
        self.began = time.monotonic()
    def finish(self):
        self.seconds = time.monotonic() - self.began
clock = Clock()
run_tiles(TilesConfig.model_validate_json(sys.argv[1]), out=Path(sys.argv[2]), seed=0, base=Path(sys.argv[3]), progress=clock)
print(clock.seconds)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True, help="folder that keeps the painted slides")
    parser.add_argument("--slides", type=int, default=4)
    parser.add_argument("--edge", type=int, default=8192, help="edge of a painted slide, px")
    parser.add_argument("--tile-px", type=int, default=4096)
    parser.add_argument("--format", default="jxl")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="rows as JSON")
    options = parser.parse_args()
    folder = options.cache.absolute() / f"workers-{options.edge}"
    for seed in range(options.slides):
        painted_slide(folder, edge_px=options.edge, seed=seed)
    slides = [path.name for path in sorted(folder.glob("*.tif"))]
    ways = {"1": ([slides], 1), "2": ([slides], 2), "two jobs of 1": ([slides[::2], slides[1::2]], 1)}
    rows: dict[str, dict[str, float]] = {}
    for _ in range(options.rounds):
        for way, (halves, num) in ways.items():
            now, before = measured(folder, halves, num, options), rows.get(way, {})
            rows[way] = {name: (max if name == "peak_mb" else min)(value, before.get(name, value)) for name, value in now.items()}
    print(
        f"{options.slides} slides of {options.edge} px, tiles of {options.tile_px} px as {options.format}, least of {options.rounds} rounds"
    )
    print("| workers | seconds | cutting, seconds | peak of a worker, MB |\n|---|---|---|---|")
    for way, row in rows.items():
        print(f"| {way} | {row['seconds']:.2f} | {row['cutting']:.2f} | {row['peak_mb']:.0f} |")
    ratios = {way: {name: rows["1"][name] / rows[way][name] for name in ("seconds", "cutting")} for way in list(ways)[1:]}
    print(f"two workers: {ratios['2']['seconds']:.2f} times as fast, cutting {ratios['2']['cutting']:.2f} times")
    print(
        f"two jobs with half of the slides each: {ratios['two jobs of 1']['seconds']:.2f}, cutting {ratios['two jobs of 1']['cutting']:.2f}"
    )
    if options.out:
        options.out.write_text(json.dumps({"rows": rows, "ratios": ratios}))


def measured(folder: Path, parts: list[list[str]], num_workers: int, options: argparse.Namespace) -> dict[str, float]:
    """Seconds until the jobs of all `parts` have ended, of the longest cutting, and the peak memory of a worker (MB)."""
    settings = {"mpp": MPP, "tile_px": options.tile_px, "num_folds": 1, "format": options.format, "workers": num_workers}
    began, peak = time.monotonic(), 0.0
    with contextlib.ExitStack() as ends:
        out = [Path(ends.enter_context(tempfile.TemporaryDirectory(dir=folder))) / "tiles" for _ in parts]
        jobs = [
            ends.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", JOB, json.dumps(settings | {"slides": slides}), str(to), str(folder)],
                    stdout=subprocess.PIPE,
                    text=True,
                    env=os.environ | {"OMP_NUM_THREADS": "1"},
                )
            )
            for slides, to in zip(parts, out, strict=True)
        ]
        while any(job.poll() is None for job in jobs):
            peak = max([peak, *(peak_mb(child) for job in jobs for child in children(job.pid))])
            time.sleep(0.05)
        seconds = time.monotonic() - began
        cutting = max(float(job.stdout.read()) for job in jobs if job.stdout is not None)
    return {"seconds": seconds, "cutting": cutting, "peak_mb": peak}


def peak_mb(process: int) -> float:
    try:
        found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{process}/status").read_text())
    except OSError:  # it has ended
        return 0.0
    return int(found[1]) * 1024 / 1e6 if found else 0.0


if __name__ == "__main__":
    main()
