"""Labelling one image: every map at image size and through the network pixel by pixel, against the factored way.

`python benchmarks/factored_prediction.py [--resolutions 256 512] [--members 1] [--out FILE]`. Taps of the last 5 blocks
at channel base 32768 (16384 below 512 px), random weights. Each way runs in a process of its own, so that the peak
memory is its own; prints seconds, peak memory and the largest difference of a probability.
"""

from __future__ import annotations

import argparse
import json
import resource
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
    return torch.cat([band.mean(dim=0) for _, band in probabilities(folded, maps, size=size)], dim=1)


def plain(members: list[PixelMlp], standardiser: Standardiser, maps: list[torch.Tensor], size: int) -> torch.Tensor:
    """The same through the concatenated array, in chunks of 65,536 pixels as the authors' code takes them."""
    features = upsample_reference(maps, size).flatten(1)
    found = torch.zeros(NUM_CLASSES, size * size)
    for first in range(0, size * size, 65_536):
        x = standardiser(features[:, first : first + 65_536].t())
        for member in members:
            found[:, first : first + 65_536] += member(x).softmax(dim=1).t() / len(members)
    return found.view(NUM_CLASSES, size, size)


def worker(way: str, resolution: int, num_members: int, out: Path) -> None:
    """One way, in this process."""
    members, standardiser, maps = scene(resolution, num_members)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with torch.no_grad():
        begun = time.perf_counter()
        found = {"factored": factored, "plain": plain}[way](members, standardiser, maps, resolution)
        seconds = time.perf_counter() - begun
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    np.savez(out, found=found[:, ::8, ::8].numpy(), seconds=seconds, peak_mib=peak)


def main() -> None:
    """Prints a row for each resolution."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--resolutions", type=int, nargs="+", default=[256, 512])
    parser.add_argument("--members", type=int, default=1)
    parser.add_argument("--ways", nargs="+", default=["plain", "factored"], choices=["plain", "factored"])
    parser.add_argument("--worker", nargs=2)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.worker:
        worker(options.worker[0], options.resolutions[0], options.members, Path(options.worker[1]))
        return
    rows = [compare(resolution, options.members, options.ways) for resolution in options.resolutions]
    if options.out:
        options.out.write_text(json.dumps({"threads": torch.get_num_threads(), "rows": rows}, indent=1))


def compare(resolution: int, num_members: int, ways: list[str]) -> dict[str, float]:
    """One row."""
    row: dict[str, float] = {"resolution": resolution, "members": num_members}
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for way in ways:
            path = Path(folder) / f"{way}.npz"
            common = ["--resolutions", str(resolution), "--members", str(num_members)]
            subprocess.run([sys.executable, __file__, *common, "--worker", way, str(path)], check=True)
            with np.load(path) as result:
                row[f"{way}_seconds"], row[f"{way}_peak_mib"] = round(float(result["seconds"]), 3), round(float(result["peak_mib"]))
                found[way] = np.array(result["found"])
    line = f"{resolution:5} px, {num_members} members:"
    for way in ways:
        line += f"  {way} {row[f'{way}_seconds']:8.2f} s {row[f'{way}_peak_mib']:6.0f} MiB"
    if len(found) == 2:
        row["speedup"] = round(row["plain_seconds"] / row["factored_seconds"], 2)
        row["largest_difference"] = float(np.abs(found["plain"] - found["factored"]).max())
        line += f"  {row['speedup']:.1f} times faster, largest difference {row['largest_difference']:.1e}"
    print(line, flush=True)
    return row


if __name__ == "__main__":
    main()
