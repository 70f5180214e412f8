"""A training step and a drawing: the fast paths against the plain formulas, in one run.

`python benchmarks/generator/speed.py [--resolutions 64 128] [--parts train draw] [--threads 2] [--device cuda] [--out FILE]` prints images per
second, the ratio to the plain way, the peak memory above an idle process, and the shares of the rates that a large matrix product and a copy
reach here (`timing.py` says of what). The network: channel base 2048 and at most 128 channels (on a GPU `--channel-base 32768 --channel-max 512`);
the step: StyleGAN2-ADA's whole one, batch 16 (R1 every 16th, path lengths every 4th, style mixing). Images are drawn one by one as a trained
generator does, in float32 and without gradients however it was trained, so there are two ways of that: plain, in the better of two memory
formats, and fast. Each way and part runs in a process of its own, in turns; the best of `--rounds` counts, because other work can only slow them
down. `--seconds` stops the timed steps of a way; how many there were is printed. What does not fit into a GPU's memory is told as such.
`--ways` also takes compiled ones: a minute or more for each of a step's five graphs before the first step, which is not counted.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import torch
from plain import plain
from timing import Timed, random_images, rates_for, shares, time_drawing, time_training

from hdgan.generator.settings import TrainSettings
from hdgan.generator.spec import NetworkSpec
from hdgan.generator.state import new_state
from hdgan.training.memory import keep_freed_memory, most_held

WAYS: dict[str, tuple[str, str, dict[str, Any]]] = {
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
PASSED_ON = ("threads", "batch", "steps", "seconds", "samples", "channel_base", "channel_max", "device")


def measure(part: str, way: str, options: argparse.Namespace) -> dict[str, Any]:
    """Of one part and way, in this process: what `Timed` holds, `peak_mib`, and the machine's `rates`; or why it `failed`."""
    torch.set_num_threads(options.threads)
    idle = _peak_mib(options.device)
    formulas = WAYS[way][0]
    try:
        with plain() if formulas == "plain" else contextlib.nullcontext():
            timed = _trained(way, options) if part == "train" else _drawn(way, options)
    except torch.OutOfMemoryError as error:
        return {"failed": str(error).splitlines()[0]}
    peak = _peak_mib(options.device) - idle
    return timed.to_json() | {"peak_mib": peak, "rates": rates_for(timed, device=options.device)}


def _trained(way: str, options: argparse.Namespace) -> Timed:
    formulas, precision, more = WAYS[way]
    if formulas == "fast":
        keep_freed_memory()
    gamma = 0.0002 * options.resolution**2 / options.batch
    settings = TrainSettings(kimg=1000, batch=options.batch, gamma=gamma, augment="none", **more)
    spec = _spec(precision, options)
    state = new_state(spec, settings, device=options.device)
    real = random_images(settings, spec, options.device)
    return time_training(state, real, settings, num_steps=options.steps, seconds=options.seconds, device=options.device)


def _drawn(way: str, options: argparse.Namespace) -> Timed:
    formats = (torch.contiguous_format, torch.channels_last) if WAYS[way][0] == "plain" else ()
    return time_drawing(_spec(WAYS[way][1], options), num=options.samples, device=options.device, formats=formats)


def _spec(precision: str, options: argparse.Namespace) -> NetworkSpec:
    fields: dict[str, Any] = {"channel_base": options.channel_base, "channel_max": options.channel_max, "z_dim": 128, "w_dim": 128}
    return NetworkSpec(resolution=options.resolution, low_precision=precision, num_low_precision=16, **fields)


def _peak_mib(device: str) -> float:
    """The most memory that was held so far; on a CPU that of this process alone."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return (most_held() or math.nan) / 2**20


def main() -> None:
    """Prints one row for each way, part and resolution."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resolutions", type=int, nargs="+", default=[64, 128])
    parser.add_argument("--parts", nargs="+", choices=["train", "draw"], default=["train", "draw"])
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=USUAL)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=CYCLE, help="of training that are timed")
    parser.add_argument("--seconds", type=float, default=math.inf, help="after which no further step begins")
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--channel-base", type=int, default=2048)
    parser.add_argument("--channel-max", type=int, default=128)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--resolution", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(*options.measure, options)))
        return
    rows: list[dict[str, Any]] = []
    for resolution in options.resolutions:
        for part in options.parts:
            rows += compare(part, resolution, options)
            if options.out:
                options.out.write_text(json.dumps(rows, indent=1))
    rates = {name: rate for row in rows for name, rate in sorted(row.get("rates", {}).items())}
    told = [f"products in {name} {rate / 1e12:.2f} TFLOP/s" for name, rate in rates.items() if name != "copy"]
    print(f"rates here: {', '.join(told)}, copies {rates.get('copy', math.nan) / 1e9:.1f} GB/s read and written")


def compare(part: str, resolution: int, options: argparse.Namespace) -> list[dict[str, Any]]:
    """One row for each way at `resolution`, the best of all rounds; of drawing, one for each kind of formulas."""
    ways = options.ways if part == "train" else list({WAYS[way][0]: way for way in reversed(options.ways)}.values())[::-1]
    best: dict[str, dict[str, Any]] = {}
    for _ in range(options.rounds):
        for way in ways:
            if "failed" not in best.get(way, {}):
                found = _in_a_process(part, way, resolution, options)
                best[way] = better(best.get(way, found), found)
    base = best[ways[0]].get("images_per_second", math.nan)
    rows = []
    for way, found in best.items():
        name = way if part == "train" else WAYS[way][0]
        print(
            f"{resolution:5} px  {'trained' if part == 'train' else 'drawn':7}  {name:19}  {told(found, base, device=options.device)}",
            flush=True,
        )
        rows.append({"resolution": resolution, "part": part, "way": name, "batch": options.batch if part == "train" else 1, **found})
    return rows


def _in_a_process(part: str, way: str, resolution: int, options: argparse.Namespace) -> dict[str, Any]:
    given = [text for name in PASSED_ON for text in (f"--{name.replace('_', '-')}", str(getattr(options, name)))]
    command = [sys.executable, __file__, "--measure", part, way, "--resolution", str(resolution), *given]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def better(a: dict[str, Any], b: dict[str, Any]) -> dict[str, Any]:
    """The faster of two rounds, the least memory of both, and the best rates of the machine."""
    if "failed" in a or "failed" in b:
        return a if "failed" in a else b
    found = max(a, b, key=lambda one: one["images_per_second"])
    rates = {name: max(a["rates"][name], b["rates"][name]) for name in a["rates"]}
    return found | {"peak_mib": min(a["peak_mib"], b["peak_mib"]), "rates": rates}


def told(found: dict[str, Any], base: float, *, device: str) -> str:
    """What was found, in a line; `base`: images per second of the plain way."""
    if "failed" in found:
        return f"does not fit: {found['failed']}"
    rate = found["images_per_second"]
    timed = Timed(rate, found["num_steps"], found["flop"], found["bytes"])
    reached = shares(timed, found["rates"])
    peak = f"{found['peak_mib'] / 1024:7.2f} GiB" if device == "cuda" else f"{found['peak_mib']:7.0f} MiB"
    return (
        f"{rate:8.2f} images/s ({rate / base:4.2f} x)  peak {peak}  {reached['product']:4.0%} of the product rate  "
        f"{reached['copy']:4.0%} of the copy rate  ({timed.num_steps} timed)"
    )


if __name__ == "__main__":
    main()
