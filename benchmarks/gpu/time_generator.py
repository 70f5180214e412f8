"""Times a training step and a drawing at several resolutions: `python benchmarks/gpu/time_generator.py --out $OUT/times.json`.

Needs torch and numpy only. Each row: resolution, batch, images per second of whole cycles of steps (R1 once, path length as the preset says;
from as many steps as `train` tells, at most `--steps`, and none begun after `--seconds`), images per second drawn one by one as a trained
generator does (float32 throughout, no gradients), peak GPU memory of both, FLOP and bytes of each image, and the shares of the rates that a
large matrix product and a copy reach on this machine (`generator/timing.py` says what is counted). Rows are written as they come, so that a
run that is cut off keeps what it measured; a size that does not fit into memory is recorded as such.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import platform
import sys
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "generator"))

from timing import Timed, random_images, rates_for, shares, time_drawing, time_training

from hdgan.generator import presets
from hdgan.generator.settings import TrainSettings
from hdgan.generator.spec import NetworkSpec
from hdgan.generator.state import new_state

CASES = {
    16: ("small", 4),
    64: ("small", 32),
    256: ("small", 32),
    512: ("auto", 8),
    1024: ("auto", 4),
    2048: ("large", 2),
    4096: ("large", 1),
}
"""Preset and batch."""


def main() -> None:
    """Measures the chosen resolutions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resolutions", type=int, nargs="+", default=[size for size in CASES if size > 16], choices=sorted(CASES))
    parser.add_argument("--batches", type=int, nargs="+", help="a row for each; without it the resolution's own")
    parser.add_argument("--parts", nargs="+", choices=["train", "draw"], default=["train", "draw"])
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=math.inf, help="of a row, after which no further step begins")
    parser.add_argument("--precision", choices=["float32", "float16", "bfloat16"], help="of the finest blocks; without it the preset's")
    parser.add_argument("--tf32", action="store_true", help="float32 convolutions of a step may round (generator.allow_tf32)")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for resolution in options.resolutions:
        for batch in options.batches or [CASES[resolution][1]]:
            rows.append(measure(resolution, batch, options))
            print(json.dumps(rows[-1]), flush=True)
            options.out.parent.mkdir(parents=True, exist_ok=True)
            options.out.write_text(json.dumps({"device": device_name(options.device), "torch": torch.__version__, "rows": rows}, indent=1))


def measure(resolution: int, batch: int, options: argparse.Namespace) -> dict[str, Any]:
    """One row."""
    preset = CASES[resolution][0]
    row: dict[str, Any] = {"resolution": resolution, "preset": preset, "batch": batch}
    fields = presets.training(preset, resolution) | {"batch": batch, "microbatch": None, "ada_p": 0.3, "allow_tf32": options.tf32}
    shape = presets.network(preset, resolution) | ({"low_precision": options.precision} if options.precision else {})
    spec, settings = NetworkSpec(resolution=resolution, **shape), TrainSettings(**fields)
    row |= {"precision": spec.low_precision, "tf32": options.tf32}
    done: dict[str, Timed] = {}
    for part in options.parts:
        if options.device == "cuda":
            gc.collect()  # what the part before held, or what did not fit
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        try:
            done[part] = _trained(spec, settings, options) if part == "train" else time_drawing(spec, num=8, device=options.device)
        except torch.OutOfMemoryError as error:
            row[f"{part}_failed"] = str(error).splitlines()[0]
        if options.device == "cuda":
            row[f"{part}_peak_gib"] = round(torch.cuda.max_memory_allocated() / 2**30, 2)
    row["rates"] = {
        part: rates_for(timed, device=options.device, allow_tf32=options.tf32 and part == "train") for part, timed in done.items()
    }
    return row | {part: timed.to_json() | {"shares": shares(timed, row["rates"][part])} for part, timed in done.items()}


def _trained(spec: NetworkSpec, settings: TrainSettings, options: argparse.Namespace) -> Timed:
    state = new_state(spec, settings, device=options.device)
    real = random_images(settings, spec, options.device)
    return time_training(state, real, settings, num_steps=options.steps, seconds=options.seconds, device=options.device)


def device_name(device: str) -> str:
    """What the numbers were measured on."""
    return torch.cuda.get_device_name() if device == "cuda" else f"CPU {platform.machine()}, {torch.get_num_threads()} threads"


if __name__ == "__main__":
    main()
