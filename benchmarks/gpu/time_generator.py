"""Times a training step and a sample at several resolutions: `python benchmarks/gpu/time_generator.py --out $OUT/times.json`.

Needs torch and numpy only. Each row: resolution, batch, images per second of a full cycle of 16 steps (R1 once, path
length as the preset says), images per second drawn at batch 1 in float32, peak GPU memory. Rows are written as they
come, so that a run that is cut off keeps what it measured; a size that does not fit into memory is recorded as such.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))

from hdgan.generator import presets
from hdgan.generator.networks import Generator
from hdgan.generator.phases import train_step
from hdgan.generator.settings import TrainSettings
from hdgan.generator.spec import NetworkSpec
from hdgan.generator.state import new_state

CASES = {16: ("small", 4), 64: ("small", 32), 256: ("small", 32), 512: ("auto", 8), 1024: ("auto", 4), 4096: ("large", 1)}


def main() -> None:
    """Measures the chosen resolutions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resolutions", type=int, nargs="+", default=[64, 256, 512, 1024, 4096], choices=sorted(CASES))
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--precision", choices=["float32", "float16", "bfloat16"], help="of the finest blocks; without it the preset's")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for resolution in options.resolutions:
        rows.append(measure(resolution, steps=options.steps, device=options.device, precision=options.precision))
        print(json.dumps(rows[-1]), flush=True)
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps({"device": device_name(options.device), "torch": torch.__version__, "rows": rows}, indent=1))


def measure(resolution: int, *, steps: int, device: str, precision: str | None = None) -> dict[str, Any]:
    """One row."""
    preset, batch = CASES[resolution]
    row: dict[str, Any] = {"resolution": resolution, "preset": preset, "batch": batch}
    fields = presets.training(preset, resolution) | {"batch": batch, "microbatch": None, "ada_p": 0.3}
    shape = presets.network(preset, resolution) | ({"low_precision": precision} if precision else {})
    spec, settings = NetworkSpec(resolution=resolution, **shape), TrainSettings(**fields)
    row["precision"] = spec.low_precision
    try:
        row["train_images_per_second"] = round(_time_training(spec, settings, steps, device), 3)
        row["peak_gib"] = round(torch.cuda.max_memory_allocated() / 2**30, 2) if device == "cuda" else None
        row["draw_images_per_second"] = round(_time_drawing(spec, device), 3)
    except torch.OutOfMemoryError as error:
        row["failed"] = str(error).splitlines()[0]
    if device == "cuda":
        torch.cuda.empty_cache()
    return row


def _time_training(spec: NetworkSpec, settings: TrainSettings, steps: int, device: str) -> float:
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    state = new_state(spec, settings, device=device)
    size = spec.resolution
    real = (torch.rand(settings.batch, 3, size, size, device=device) * 2 - 1).contiguous(memory_format=torch.channels_last)
    train_step(state, real, settings)  # the first step takes both penalties: everything is allocated and tuned
    train_step(state, real, settings)
    state.num_steps = 0
    begun = _now(device)
    for _ in range(steps):
        train_step(state, real, settings)
    return steps * settings.batch / (_now(device) - begun)


def _time_drawing(spec: NetworkSpec, device: str, num: int = 8) -> float:
    generator = Generator(spec).to(device).float().eval()
    z = torch.randn(1, spec.z_dim, device=device)
    with torch.no_grad():
        generator(z)
        begun = _now(device)
        for _ in range(num):
            generator(z)
    return num / (_now(device) - begun)


def _now(device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def device_name(device: str) -> str:
    """What the numbers were measured on."""
    return torch.cuda.get_device_name() if device == "cuda" else f"CPU {platform.machine()}, {torch.get_num_threads()} threads"


if __name__ == "__main__":
    main()
