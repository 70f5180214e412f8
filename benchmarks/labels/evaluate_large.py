"""Evaluating on large images: peak memory and time of each stage from features to the report.

`python benchmarks/labels/evaluate_large.py [--resolution 4096] [--images 4] [--test 2] [--controls filters untrained] [--members 1] [--threads 1]`.
Channel base 32768, random weights, five blocks, features recomputed. One process draws samples and makes masks, another extracts, fits and
evaluates; its peak is counted above what it held after importing torch.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

STAGES = ("features", "classifier", "evaluation")
GB = 1e9


def main() -> None:
    """Prints a line for each stage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resolution", type=int, default=4096)
    parser.add_argument("--images", type=int, default=4, help="of all parts")
    parser.add_argument("--test", type=int, default=2)
    parser.add_argument("--controls", nargs="*", default=["filters", "untrained"])
    parser.add_argument("--members", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--worker", type=Path, help="measure the run in this folder, in this process")
    parser.add_argument("--make", type=Path, help="make a run in this folder")
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(work(options.worker)))
        return
    if options.make:
        from scene import make

        make(options.make, resolution=options.resolution, num=options.images, test=options.test)
        print("{}")
        return
    from scene import child

    script = Path(__file__).resolve()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "run"
        size = ("--resolution", options.resolution, "--images", options.images, "--test", options.test)
        child(script, "--make", root, *size, threads=options.threads)
        (root / "config.toml").write_text(evaluated(options))
        found = child(script, "--worker", root, threads=options.threads)
    for stage in STAGES:
        peak, seconds = found[f"{stage}_bytes"] / GB, found[f"{stage}_seconds"]
        print(f"{options.resolution} px, {options.images} images: {stage}: peak so far {peak:.2f} GB, {seconds:.0f} s")


def evaluated(options: argparse.Namespace) -> str:
    """The settings of the run, with a report to make."""
    from scene import settings

    text = settings(options.resolution, options.images, test=options.test, source="recompute", members=options.members)
    controls = ", ".join(f'"{name}"' for name in options.controls)
    return f"{text}[evaluation]\ncontrols = [{controls}]\nresamples = 10\n"


def work(root: Path) -> dict[str, Any]:
    """Seconds and peaks of the stages in this process, in bytes above an idle one with torch."""
    import torch  # noqa: F401  what every stage has imported

    from hdgan.pipeline.run import open_run, run_one
    from hdgan.training.memory import most_held

    idle = most_held() or float("nan")
    run = open_run(root)
    found: dict[str, Any] = {}
    for stage in STAGES:
        begun = time.perf_counter()
        run_one(run, stage)
        found |= {f"{stage}_seconds": time.perf_counter() - begun, f"{stage}_bytes": (most_held() or float("nan")) - idle}
    return found


if __name__ == "__main__":
    main()
