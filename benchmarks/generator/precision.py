"""Does a training in bfloat16 reach the quality of one in float32: both curves, on the same seeds.

`python benchmarks/generator/precision.py [--resolution 32] [--seeds 0 1 2] [--kimg 12]`. The trainings of `learning.py`: the same
weights to begin with, the same crops, latents and noise; only the number format of the blocks differs. One line for each seed and
format: images per second, then the offline distance of 256 images to 256 crops at each snapshot. Last, over all but the first snapshot, the
mean ratio bfloat16 / float32 with the standard error over seeds, beside the ratio of one float32 seed to another: where the first is within
the second, the curves are equal for all that these seeds can tell. Needs no data.
"""

from __future__ import annotations

import argparse
import math
import sys
from itertools import combinations
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))

from learning import MPP, learn, painted

from hdgan.training.memory import keep_freed_memory

FORMATS = ("float32", "bfloat16")


def main() -> None:
    """Prints a curve for each seed and format, and how they compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resolution", type=int, default=32, choices=sorted(MPP))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--kimg", type=float, default=12.0)
    parser.add_argument("--snapshots", type=int, default=6)
    options = parser.parse_args()
    options.grids = None
    keep_freed_memory()
    tiles = painted(options.resolution)
    curves: dict[str, list[np.ndarray]] = {name: [] for name in FORMATS}
    print("seed  format    images/s  distance at each snapshot")
    for seed in options.seeds:
        for name in FORMATS:
            rows, rate = learn(tiles, options.resolution, seed, options, low_precision=name)
            curves[name].append(np.array([row["quality"] for row in rows]))
            print(f"{seed:4}  {name:8}  {rate:8.1f}  {' '.join(f'{value:7.1f}' for value in curves[name][-1])}", flush=True)
    ratios = [_mean_log(low, full) for full, low in zip(curves["float32"], curves["bfloat16"], strict=True)]
    spread = "one seed, no standard error"
    if len(ratios) > 1:
        spread = f"times or divided by {math.exp(np.std(ratios, ddof=1) / math.sqrt(len(ratios))):.2f}, one standard error"
    print(f"bfloat16 / float32: {math.exp(np.mean(ratios)):.2f} ({spread})")
    between = [abs(_mean_log(one, other)) for one, other in combinations(curves["float32"], 2)]
    if between:
        print(f"one float32 seed / another: {math.exp(np.mean(between)):.2f}, at most {math.exp(max(between)):.2f}")


def _mean_log(curve: np.ndarray, other: np.ndarray) -> float:
    """Mean logarithm of the ratio of two curves; the first snapshot is left out, where nothing is learned yet."""
    return float(np.log(curve[1:] / other[1:]).mean())


if __name__ == "__main__":
    main()
