"""A training step and a sample: the fast paths against the plain formulas, in one run.

`python benchmarks/generator/speed.py [--resolutions 64 128] [--threads 2] [--device cuda] [--out FILE]` prints images per second,
the ratio to the plain way, and the memory above an idle process. The network: channel base 2048 and at most 128 channels (on a GPU
`--channel-base 32768 --channel-max 512`); the step: StyleGAN2-ADA's whole one, batch 16 (R1 every 16th, path lengths every 4th, style
mixing). Ways take turns, each in a process of its own; the best of `--rounds` counts, because other work can only slow them down.
`--ways` also takes compiled ones: a minute or more for each of a step's five graphs before the first step, which is not counted.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import torch
from plain import plain

from hdgan.generator.networks import Generator
from hdgan.generator.phases import train_step
from hdgan.generator.settings import TrainSettings
from hdgan.generator.spec import NetworkSpec
from hdgan.generator.state import new_state
from hdgan.training.memory import keep_freed_memory, most_held

WAYS = {
    "plain float32": ("plain", "float32", {}),
    "fast float32": ("fast", "float32", {}),
    "fast bfloat16": ("fast", "bfloat16", {}),
    "recomputed bfloat16": ("fast", "bfloat16", {"recompute_from_px": 16}),
    "compiled float32": ("fast", "float32", {"is_compiled": True}),
    "compiled bfloat16": ("fast", "bfloat16", {"is_compiled": True}),
}
"""Formulas, number format, and the settings that make the way."""
USUAL = list(WAYS)[:4]
CYCLE = 16
"""Steps after which every lazy penalty has been due."""


def measure(options: argparse.Namespace) -> dict[str, float]:
    """Images per second in training and in drawing one by one in float32, and the peak memory of training in MiB."""
    way, precision, more = WAYS[options.way]
    torch.set_num_threads(options.threads)
    idle = _peak_mib(options.device)
    fields: dict[str, Any] = {"channel_base": options.channel_base, "channel_max": options.channel_max, "z_dim": 128, "w_dim": 128}
    spec = NetworkSpec(resolution=options.resolution, low_precision=precision, num_low_precision=16, **fields)
    gamma = 0.0002 * options.resolution**2 / options.batch
    settings = TrainSettings(kimg=1000, batch=options.batch, gamma=gamma, augment="none", **more)
    with plain() if way == "plain" else contextlib.nullcontext():
        if way == "fast":
            keep_freed_memory()
        state = new_state(spec, settings, device=options.device)
        real = torch.rand(options.batch, 3, options.resolution, options.resolution, device=options.device) * 2 - 1
        real = real.contiguous(memory_format=torch.channels_last)
        train_step(state, real, settings)
        begun = _now(options.device)
        for _ in range(options.steps):
            train_step(state, real, settings)
        trained = options.steps * options.batch / (_now(options.device) - begun)
        peak = _peak_mib(options.device) - idle
        return {"trained": trained, "drawn": _drawn(state.G, options), "peak_mib": peak}


def _drawn(trained: Generator, options: argparse.Namespace) -> float:
    """Images per second, one by one."""
    network = trained.float().eval().requires_grad_(False)
    latents = torch.randn(options.samples + 1, 1, 128, device=options.device)
    network(latents[-1])
    begun = _now(options.device)
    for z in latents[:-1]:
        network(z)
    return float(options.samples / (_now(options.device) - begun))


def _now(device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def _peak_mib(device: str) -> float:
    """The most memory that was held so far; on a CPU that of this process alone."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return (most_held() or math.nan) / 2**20


def main() -> None:
    """Prints one row for each way and resolution."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--resolutions", type=int, nargs="+", default=[64, 128])
    parser.add_argument("--resolution", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=USUAL)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=CYCLE)
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--channel-base", type=int, default=2048)
    parser.add_argument("--channel-max", type=int, default=128)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.way:
        print(json.dumps(measure(options)))
        return
    rows = [row for resolution in options.resolutions for row in compare(resolution, options)]
    if options.out:
        options.out.write_text(json.dumps(rows, indent=1))


def compare(resolution: int, options: argparse.Namespace) -> list[dict[str, Any]]:
    """One row for each way at `resolution`, the best of all rounds."""
    best: dict[str, dict[str, float]] = {}
    for _ in range(options.rounds):
        for way in options.ways:
            names = ("threads", "batch", "steps", "samples", "channel_base", "channel_max", "device")
            given = [text for name in names for text in (f"--{name.replace('_', '-')}", str(getattr(options, name)))]
            command = [sys.executable, __file__, "--way", way, "--resolution", str(resolution), *given]
            found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            before = best.setdefault(way, found)
            best[way] = {k: min(before[k], found[k]) if k == "peak_mib" else max(before[k], found[k]) for k in found}
    base = best[options.ways[0]]
    rows = []
    for way, found in best.items():
        print(
            f"{resolution:5} px  {way:19} trained {found['trained']:7.1f} images/s ({found['trained'] / base['trained']:4.2f} x)  "
            f"drawn {found['drawn']:7.1f} images/s ({found['drawn'] / base['drawn']:4.2f} x)  peak {found['peak_mib']:7.0f} MiB"
        )
        rows.append({"resolution": resolution, "way": way, **found})
    return rows


if __name__ == "__main__":
    main()
