"""Labelling one image: every map at image size and through the network pixel by pixel, against the factored way.

`python benchmarks/factored_prediction.py [--resolutions 256 512] [--members 1] [--threads 2] [--out FILE]`. Taps of the last 5
blocks at channel base 32768 (16384 below 512 px), random weights. Each way runs in a process of its own, so that the peak memory is its own.
Prints seconds on the wall and of the processor (on a busy machine only these compare), peak memory above the maps themselves, the share of
the processor's own matrix-multiply rate that the factored way reaches, and the largest difference of a probability.

The plain way needs 33 GB at 4096 px; `--ways factored` runs ours alone.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from hdgan.classifier.factored import fold, probabilities
from hdgan.classifier.mlp import PixelMlp
from hdgan.features.moments import Standardiser
from hdgan.features.upsample import upsample_reference
from hdgan.generator.spec import NetworkSpec
from hdgan.training.memory import most_held

NUM_CLASSES = 5


def scene(resolution: int, num_members: int) -> tuple[list[PixelMlp], Standardiser, list[torch.Tensor]]:
    """Members, standardiser and maps, equal in every process."""
    torch.manual_seed(0)
    spec = NetworkSpec(resolution=resolution, channel_base=32768 if resolution >= 512 else 16384)
    edges = [r for r in spec.block_resolutions[-5:] for _ in range(1 if r == 4 else 2)]
    maps = [torch.randn(spec.channels(edge), edge, edge) for edge in edges]
    num_channels = sum(len(m) for m in maps)
    members = [PixelMlp(num_channels, NUM_CLASSES, hidden=(128, 32), dropout=0.3).eval() for _ in range(num_members)]
    return members, Standardiser(torch.randn(num_channels), torch.rand(num_channels) + 0.5), maps


def factored(members: list[PixelMlp], standardiser: Standardiser, maps: list[torch.Tensor], size: int) -> torch.Tensor:
    """Mean probabilities `[K, R, R]`, projected at native resolution."""
    folded = fold(members, standardiser)
    return torch.cat([strip.mean(dim=0) for _, strip in probabilities(folded, maps, size=size)], dim=1)


def plain(members: list[PixelMlp], standardiser: Standardiser, maps: list[torch.Tensor], size: int) -> torch.Tensor:
    """The same through the concatenated array, in chunks of 65,536 pixels as the authors' code takes them."""
    features = torch.empty(sum(len(m) for m in maps), size, size)
    for m, place in zip(maps, torch.split(features, [len(m) for m in maps]), strict=True):
        place.copy_(upsample_reference([m], size))
    features = features.flatten(1)
    found = torch.zeros(NUM_CLASSES, size * size)
    for first in range(0, size * size, 65_536):
        x = standardiser(features[:, first : first + 65_536].t())
        for member in members:
            found[:, first : first + 65_536] += member(x).softmax(dim=1).t() / len(members)
    return found.view(NUM_CLASSES, size, size)


def needed_products(members: list[PixelMlp], maps: list[torch.Tensor], size: int) -> float:
    """Multiplications of the factored way: each map once at its own resolution, the later layers for each pixel; upsampling not counted."""
    first, *later = (linear.weight.shape for linear in members[0].linears)
    at_native = sum(m.numel() for m in maps) * first[0]
    return len(members) * float(at_native + size * size * sum(a * b for a, b in later))


def multiply_rate() -> float:
    """Multiplications per second of processor time in a large matrix product."""
    a = torch.randn(1024, 1024)
    torch.mm(a, a)
    begun = time.process_time()
    for _ in range(8):
        torch.mm(a, a)
    return 8 * 1024.0**3 / (time.process_time() - begun)


def worker(way: str, resolution: int, num_members: int, out: Path) -> None:
    """One way, in this process."""
    members, standardiser, maps = scene(resolution, num_members)
    rate = multiply_rate()
    before = most_held() or math.nan
    with torch.no_grad():
        begun, cpu_begun = time.perf_counter(), time.process_time()
        found = {"factored": factored, "plain": plain}[way](members, standardiser, maps, resolution)
        seconds, cpu_seconds = time.perf_counter() - begun, time.process_time() - cpu_begun
    peak = ((most_held() or math.nan) - before) / 2**20
    share = needed_products(members, maps, resolution) / cpu_seconds / rate
    np.savez(out, found=found[:, ::8, ::8].numpy(), seconds=seconds, cpu_seconds=cpu_seconds, peak_mib=peak, rate_share=share)


def main() -> None:
    """Prints a row for each resolution."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--resolutions", type=int, nargs="+", default=[256, 512])
    parser.add_argument("--members", type=int, default=1)
    parser.add_argument("--ways", nargs="+", default=["plain", "factored"], choices=["plain", "factored"])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--worker", nargs=2)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.worker:
        worker(options.worker[0], options.resolutions[0], options.members, Path(options.worker[1]))
        return
    rows = [compare(resolution, options.members, options.ways) for resolution in options.resolutions]
    if options.out:
        options.out.write_text(json.dumps({"threads": options.threads, "rows": rows}, indent=1))


def compare(resolution: int, num_members: int, ways: list[str]) -> dict[str, float]:
    """One row."""
    row: dict[str, float] = {"resolution": resolution, "members": num_members}
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for way in ways:
            path = Path(folder) / f"{way}.npz"
            common = ["--resolutions", str(resolution), "--members", str(num_members), "--threads", str(torch.get_num_threads())]
            subprocess.run([sys.executable, __file__, *common, "--worker", way, str(path)], check=True)
            with np.load(path) as result:
                for key in ("seconds", "cpu_seconds", "peak_mib", "rate_share"):
                    row[f"{way}_{key}"] = round(float(result[key]), 3)
                found[way] = np.array(result["found"])
    line = f"{resolution:5} px, {num_members} members:"
    for way in ways:
        line += f"  {way} {row[f'{way}_seconds']:7.2f} s ({row[f'{way}_cpu_seconds']:.2f} s cpu) {row[f'{way}_peak_mib']:6.0f} MiB"
    if "factored" in ways:
        line += f", {row['factored_rate_share']:.0%} of the multiply rate"
    if len(found) == 2:
        row["speedup"] = round(row["plain_cpu_seconds"] / row["factored_cpu_seconds"], 2)
        row["largest_difference"] = float(np.abs(found["plain"] - found["factored"]).max())
        less = row["plain_peak_mib"] / max(row["factored_peak_mib"], 1)
        line += f"; {row['speedup']:.1f} times less cpu, {less:.0f} times less memory, largest difference {row['largest_difference']:.1e}"
    print(line, flush=True)
    return row


if __name__ == "__main__":
    main()
