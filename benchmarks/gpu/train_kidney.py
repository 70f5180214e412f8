"""Trains the kidney generator in legs that resume each other: needs torch, numpy and pillow only.

    python benchmarks/gpu/train_kidney.py --data carry/kidney.npz --state carry/state --preset 256 --seconds 540

A leg loads the newest whole state below `--state`, trains until `--seconds` are over or `--kimg` is reached, and writes
the state, a line of `log.jsonl` for every thousand images, and a grid of the averaged generator's images, whose rows have the labels in turn. SIGTERM ends a
leg early and saves. In the last leg of all the step should fall (`--cool`): at 64 px that halved the distance from real crops (dev/LOG.md).
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import leg_state
import packed_tiles

from hdgan.generator.conditions import one_hot
from hdgan.generator.crops import ArrayTiles, Crops
from hdgan.generator.phases import train_step
from hdgan.generator.protocol import to_uint8
from hdgan.generator.settings import TrainSettings
from hdgan.generator.spec import NetworkSpec
from hdgan.generator.state import TrainingState, from_tensors, new_state, to_tensors
from hdgan.measures.patches import stain_spread
from hdgan.training.seeds import torch_stream
from hdgan.training.signals import StopRequest

SMALL = {
    "z_dim": 128,
    "w_dim": 128,
    "mapping_lr": 0.1,
    "start": "latent",
    "noise_from_px": 8,
    "noise_maps": "own",
    "low_precision": "bfloat16",
}
CALM = {"path_weight": 0.0, "mixing": 0.0, "ema_kimg": 5.0, "reuses_fakes": True, "augment": "tissue", "ada_kimg": 100.0}
PRESETS: dict[str, tuple[NetworkSpec, TrainSettings]] = {
    "16": (
        NetworkSpec(resolution=16, channel_base=256, channel_max=16, num_low_precision=0, **SMALL | {"z_dim": 16, "w_dim": 16}),
        TrainSettings(kimg=1, batch=8, gamma=0.1, **CALM),
    ),
    "64": (
        NetworkSpec(resolution=64, channel_base=4096, channel_max=192, num_low_precision=5, **SMALL),
        TrainSettings(kimg=1000, batch=8, gamma=0.1, **CALM),
    ),
    "128": (
        NetworkSpec(resolution=128, channel_base=4096, channel_max=192, num_low_precision=6, **SMALL),
        TrainSettings(kimg=1000, batch=8, gamma=0.3, **CALM),
    ),
    # Small enough for a compact state of 30 MB.
    "256": (
        NetworkSpec(resolution=256, channel_base=8192, channel_max=112, num_low_precision=7, **SMALL),
        TrainSettings(kimg=1500, batch=32, gamma=0.4, **CALM),
    ),
}


def main() -> None:
    """Runs one leg."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--preset", choices=sorted(PRESETS), default="256")
    parser.add_argument("--precision", choices=["float32", "float16", "bfloat16"], help="of the finest blocks; without it the preset's")
    parser.add_argument("--seconds", type=float, default=540.0)
    parser.add_argument("--kimg", type=float, help="stop at this many thousand images")
    parser.add_argument("--cool", action="store_true", help="let the step fall to a fifth during this leg")
    parser.add_argument("--save-every", type=float, default=300.0, help="seconds between states")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--export", type=Path, help="folder for copies of the newest state, the log and the last grid: 8 files at most")
    parser.add_argument("--compact", action="store_true", help="second moments as float16: a state that fits 30 MB")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    spec, settings = PRESETS[options.preset]
    if options.precision:
        spec = dataclasses.replace(spec, low_precision=options.precision)
    spec = dataclasses.replace(spec, label_dim=len(packed_tiles.load_labels(options.data)[1]))
    state = new_state(spec, settings, device=options.device)
    found = leg_state.newest(options.state)
    if found:
        from_tensors(state, *found)
        print(f"resumed at {state.num_images} images")
    train_leg(state, settings, options)


def train_leg(state: TrainingState, settings: TrainSettings, options: argparse.Namespace) -> None:
    """Trains until the leg's end and saves."""
    tiles = packed_tiles.load(options.data)
    size = state.G.spec.resolution
    labels, threads = packed_tiles.load_labels(options.data)[0], 8 if options.device == "cuda" else 1
    order = packed_tiles.load_order(options.data)
    crops = Crops(ArrayTiles(tiles), chosen=order, size_px=size, seed=settings.seed, labels=labels, num_threads=threads)
    options.state.mkdir(parents=True, exist_ok=True)
    begun = saved = time.monotonic()
    first = state.num_images
    last = int(1000 * (options.kimg or settings.kimg))
    with ThreadPoolExecutor(1) as ahead, StopRequest() as stop:
        pending = ahead.submit(crops.batch, state.num_images, settings.batch)
        while state.num_images < last and time.monotonic() - begun < options.seconds and not stop:
            real = pending.result()
            pending = ahead.submit(crops.batch, state.num_images + settings.batch, settings.batch)
            batch = torch.from_numpy(real).to(options.device).float().div(127.5).sub(1).contiguous(memory_format=torch.channels_last)
            given = one_hot(crops.batch_labels(state.num_images, settings.batch), state.G.spec.label_dim).to(options.device)
            train_step(
                state, batch, cooled(settings, state, (time.monotonic() - begun) / options.seconds) if options.cool else settings, given
            )
            if state.num_images % 1000 < settings.batch:
                seconds = time.monotonic() - begun
                row = {"images": state.num_images, "p": state.ada_p, "per_second": (state.num_images - first) / seconds, **state.report}
                write_row(options.state, row)
            if time.monotonic() - saved > options.save_every:
                keep(state, crops, options)
                saved = time.monotonic()
    keep(state, crops, options)
    if options.export:
        export(options.state, options.export)
    rate = (state.num_images - first) / (time.monotonic() - begun)
    print(f"{state.num_images} images, {rate:.1f} images/s on {options.device}, p {state.ada_p:.3f}, {state.report}")


def cooled(settings: TrainSettings, state: TrainingState, share: float) -> TrainSettings:
    """The settings under which the step has fallen as far as at `share` of a training that falls from its first image on."""
    kimg = max(state.num_images, 1) / 1000 / min(max(share, 1e-6), 1.0)
    return dataclasses.replace(settings, kimg=kimg, lr_decay_from=0.0)


def write_row(folder: Path, row: dict[str, float]) -> None:
    """Adds a line to the log."""
    with (folder / "log.jsonl").open("a") as log:
        log.write(json.dumps({key: round(value, 5) for key, value in row.items()}) + "\n")


def export(state: Path, out: Path) -> None:
    """Copies what has to come back: the parts of the newest state, the log, the last grid."""
    newest = max(state.glob("state-*"))
    (out / newest.name).mkdir(parents=True, exist_ok=True)
    for part in newest.iterdir():
        shutil.copy(part, out / newest.name / part.name)
    for path in [state / "log.jsonl", max(state.glob("grid-*.png"))]:
        if path.exists():
            shutil.copy(path, out / path.name)


def keep(state: TrainingState, crops: Crops, options: argparse.Namespace) -> None:
    """Writes the state, a 6 x 6 grid of images, and how varied their colours are beside 36 crops' (in the log)."""
    leg_state.save(options.state, *to_tensors(state), is_compact=options.compact)
    generator = state.G_average
    z = torch.randn(36, state.G.spec.z_dim, generator=torch_stream(0, "grid")).to(state.path_mean.device)
    rows_of = one_hot([row % state.G.spec.label_dim for row in range(6) for _ in range(6)], state.G.spec.label_dim).to(z)
    with torch.no_grad():
        images = np.concatenate([to_uint8(generator(part, label)) for part, label in zip(z.split(6), rows_of.split(6), strict=True)])
    variety = stain_spread(images.transpose(0, 3, 1, 2)) / max(stain_spread(crops.batch(10**12, 36)), 1e-6)
    write_row(options.state, {"images": state.num_images, "variety": variety})
    rows = [np.concatenate(list(images[i : i + 6]), axis=1) for i in range(0, 36, 6)]
    Image.fromarray(np.concatenate(rows, axis=0)).save(options.state / f"grid-{state.num_images // 1000:06d}.png")


if __name__ == "__main__":
    main()
