"""What tiling must hold, measured one after another on this machine: the ratios of speed, the memory, the size of an install, the faults.

    python benchmarks/tiles/all.py --cache CACHE [--only reading job ...] [--list]      (`make bench-tiles`)

Each is a command of its own, printed before what it prints, with the options of `benchmarks/RESULTS.md`; one that fails does not stop the others, and ends
this with 1. With HDGAN_DATA set, `biopsy-a.tif` is measured beside the painted slides. Speed is that of a machine
on which nothing else runs; the slides painted into CACHE are used again.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
FAULTS = ("tests/tiles/test_damaged.py", "tests/tiles/test_cluster.py", "tests/cli/test_canary.py")
"""Damaged slides, workers of Dask that are killed, and the canary identity: what is held there is no number."""


class Run(NamedTuple):
    """One command."""

    name: str
    what: str
    """What it must hold."""
    command: tuple[str, ...]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True, help="folder that keeps the painted slides")
    parser.add_argument("--only", nargs="+", help="names of those to run")
    parser.add_argument("--list", action="store_true", help="print the commands and run none")
    options = parser.parse_args()
    data = os.environ.get("HDGAN_DATA")
    found = runs(options.cache.absolute(), Path(data).absolute() / "kidney" / "slides" / "biopsy-a.tif" if data else None)
    unknown = set(options.only or ()) - {run.name for run in found}
    if unknown:
        parser.error(
            f"no benchmark is called {', '.join(sorted(unknown))}; there are {', '.join(dict.fromkeys(run.name for run in found))}"
        )
    chosen = [run for run in found if not options.only or run.name in options.only]
    if options.list:
        for run in chosen:
            print(f"{run.name}: {shlex.join(run.command)}")
        return
    options.cache.mkdir(parents=True, exist_ok=True)
    if data is None:
        print("HDGAN_DATA is not set: painted slides alone\n")
    failed = failures(chosen)
    print(f"{len(chosen) - len(failed)} of {len(chosen)} ended well" + (f"; not: {'; '.join(failed)}" if failed else ""))
    sys.exit(bool(failed))


def runs(cache: Path, biopsy: Path | None) -> list[Run]:
    """All commands, in the order in which they run."""
    kept = ("--cache", str(cache))
    read, whole = "OpenSlide / ours at least 6, ours / raw at most 1.10", "auto at least 5 times less than the plain loop"
    workers, memory = "two workers at least 1.7 times one, below 500 MB each", "below 500 MB"
    found = [
        _script("reading", read, "reading.py", *kept, "--repeats", "3"),
        _script("job", whole, "job.py", *kept, "--formats", "auto", "jxl", "png"),
    ]
    if biopsy is not None:
        slide, tissue = ("--edge", "0", "--slide", str(biopsy)), ("--max-background", "0.95", "--formats", "auto", "jxl")
        found.append(_script("reading", read, "reading.py", str(biopsy), "--regions", "5", "--repeats", "3"))
        found += [_script("job", whole, "job.py", *kept, *slide, "--tile-px", px, *tissue, "--rounds", "4") for px in ("4096", "1024")]
    found += [
        _script("workers", workers, "workers.py", *kept, "--slides", "16", "--edge", "8192", "--rounds", "1"),
        _script("workers", workers, "workers.py", *kept, "--slides", "16", "--edge", "8192", "--format", "auto", "--rounds", "3"),
        _script("memory", memory, "memory.py", *kept, "--edge", "8192", "--tile-px", "64"),
        _script("memory", memory, "memory.py", *kept, "--edge", "20000", "--tile-px", "256"),
        _script("install", "below 400 MB, no torch", "../install_size.py"),
        _script("kills", "every file identical after every kill", "kills.py", *kept, "--kills", "50", "--seed", "1"),
        _script("folds", "ratios to scikit-learn's deal below 1", "folds.py"),
        Run("faults", "all pass", (sys.executable, "-m", "pytest", "-q", *(str(ROOT / name) for name in FAULTS))),
    ]
    return found


def failures(chosen: Sequence[Run]) -> list[str]:
    """Runs the commands one after another, what they print passing through; a line for each that failed."""
    failed = []
    for run in chosen:
        print(f"## {run.name}: wanted: {run.what}\n`{shlex.join(run.command)}`\n", flush=True)
        code = subprocess.run(run.command, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False).returncode
        print(flush=True)
        if code:
            failed.append(f"{run.name} ({shlex.join(run.command)}) with {code}")
    return failed


def _script(name: str, what: str, script: str, *options: str) -> Run:
    return Run(name, what, (sys.executable, str((FOLDER / script).resolve()), *options))


if __name__ == "__main__":
    main()
