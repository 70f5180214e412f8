"""What the offline embedder ranks, on real tiles: `python benchmarks/generator_quality.py TILES [--size 64] [--num 1000]`.

TILES is a finished tiles stage, such as runs/kidney/1-tiles. `num` random turned crops stand for the real set; as many others, degraded
in seven ways at five strengths each, are measured against them. The first line, not degraded, is the real-against-real floor. Before them: time and memory of
embedding 2,000 images and of all the distances between two such sets.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import numpy as np

from hdgan.generator.crops import Crops
from hdgan.measures.embedder import Scale
from hdgan.measures.resemblance import resemblance
from hdgan.measures.scattering import Scattering
from hdgan.store.archive import TileArchive
from hdgan.testing.degradations import WAYS
from hdgan.training.memory import most_held


def main() -> None:
    """Prints what it costs, then the ranking."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tiles", type=Path)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--num", type=int, default=1000)
    parser.add_argument("--timed", type=int, default=2000, help="images of which time and memory are measured")
    options = parser.parse_args()
    archive = TileArchive(options.tiles)
    crops = Crops(archive, chosen=range(len(archive)), size_px=options.size, seed=3)
    real, again = (crops.batch(first, options.num).transpose(0, 2, 3, 1) for first in (0, 10**6))
    embedder = Scattering(options.size)
    features = embedder.embed(real)
    scale = Scale(features)
    print(f"{options.num} crops of {options.size} px from {len(archive)} tiles; {embedder.name}, {embedder.num_features} features")
    cost(np.resize(real, (options.timed, *real.shape[1:])), embedder, scale)
    print("| way | strength | frechet | kernel x 1000 | precision | recall | density | coverage |\n|---|---|---|---|---|---|---|---|")
    floor = tell("none", 0, again, embedder, features, scale)
    is_ranked = True
    for name, (way, strengths) in WAYS.items():
        told = [floor, *(tell(name, strength, way(again, strength), embedder, features, scale) for strength in strengths)]
        is_ranked &= told == sorted(told)
    print("every way is ranked by strength" if is_ranked else "NOT every way is ranked by strength")


def tell(name: str, strength: float, images: np.ndarray, embedder: Scattering, real: np.ndarray, scale: Scale) -> float:
    """One line; the Frechet distance."""
    found = resemblance(embedder.embed(images), real=real, scale=scale)
    kernel, shares = found.kernel, found.shares
    numbers = f"{found.frechet:.2f} | {kernel.mean * 1000:.0f} +- {kernel.spread * 1000:.0f}"
    print(
        f"| {name} | {strength} | {numbers} | {shares.precision:.3f} | {shares.recall:.3f} | {shares.density:.3f} | {shares.coverage:.3f} |",
        flush=True,
    )
    return found.frechet


def cost(images: np.ndarray, embedder: Scattering, scale: Scale) -> None:
    """Seconds and peak memory of `images` and their features against themselves."""
    before = peak_mib()
    begun, used = time.perf_counter(), time.process_time()
    features = embedder.embed(images)
    embedded, embedded_cpu = time.perf_counter() - begun, time.process_time() - used
    begun = time.perf_counter()
    resemblance(features, real=features + np.float32(1e-3), scale=scale)
    compared = time.perf_counter() - begun
    print(f"{len(images)} images: embedded in {embedded:.1f} s ({embedded_cpu:.1f} s of processor), all distances in {compared:.1f} s")
    print(f"peak memory of the process {peak_mib():.0f} MiB, {before:.0f} MiB before")


def peak_mib() -> float:
    """Of this process so far."""
    return (most_held() or math.nan) / 2**20


if __name__ == "__main__":
    main()
