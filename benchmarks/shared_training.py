"""How far several processes come from one: `OMP_NUM_THREADS=1 python benchmarks/shared_training.py [--steps 20] [--processes 2 4] [--device cpu]`.

Trains a small float32 generator on random images for some steps, every phase due among them, in one process and in several of this
machine, and prints the largest and the median difference of a weight, whether all processes hold the same bits, and seconds per step.
The control is one process with two threads instead of one: another order of the same sums, and no more. With `--device cuda` each process
takes a GPU.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import socket
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from hdgan.generator.crops import ArrayTiles, Crops
from hdgan.generator.phases import train_step
from hdgan.generator.settings import TrainSettings
from hdgan.generator.shares import places
from hdgan.generator.spec import NetworkSpec
from hdgan.generator.state import new_state, to_tensors
from hdgan.training.checkpoint import digest, read_tensors, write_tensors
from hdgan.training.distributed import joined


def main() -> None:
    """Prints a line for each number of processes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--processes", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--resolution", type=int, default=16)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        alone = run(1, options, Path(folder) / "alone")
        print("two threads: " + line(run(1, options, Path(folder) / "threads", threads=2), alone), flush=True)
        for world in options.processes:
            print(f"{world} processes: " + line(run(world, options, Path(folder) / str(world)), alone), flush=True)


def run(world: int, options: argparse.Namespace, out: Path, *, threads: int = 1) -> Path:
    """`out`, with what `world` processes made."""
    out.mkdir()
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        port = door.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=work, args=(rank, world, port, threads, options, out)) for rank in range(world)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * world
    return out


def work(rank: int, world: int, port: int, threads: int, options: argparse.Namespace, out: Path) -> None:
    """Takes the steps as process `rank` and writes what came of it."""
    names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in names.items()})
    torch.set_num_threads(threads)
    spec = NetworkSpec(resolution=options.resolution, z_dim=32, w_dim=32, channel_base=512, channel_max=32)
    settings = TrainSettings(kimg=10, batch=16, gamma=0.1, ada_p=0.5)
    crops = Crops(
        ArrayTiles(np.random.default_rng(0).integers(0, 255, (32, 64, 64, 3), dtype=np.uint8)),
        chosen=range(32),
        size_px=options.resolution,
        seed=0,
    )
    with joined(options.device) as group:
        state = new_state(spec, settings, device=options.device)
        state.group = group
        mine = places(settings, spec, group)
        begun = time.perf_counter()
        for _ in range(options.steps):
            real = torch.from_numpy(crops.numbered([state.num_images + place for place in mine])).to(options.device)
            train_step(state, (real.float() / 127.5 - 1).contiguous(memory_format=torch.channels_last), settings)
        seconds = (time.perf_counter() - begun) / options.steps
        tensors, _ = to_tensors(state)
        write_tensors(out / f"{rank}.safetensors", tensors if rank == 0 else {}, {"digest": digest(tensors), "seconds": seconds})
        group.wait()


def line(out: Path, alone: Path) -> str:
    """What is to be said of a run beside that of one process."""
    (one, about_one), (many, about) = (read_tensors(folder / "0.safetensors") for folder in (alone, out))
    names = [name for name in one if name.startswith(("G.", "D.", "G_average."))]
    apart = torch.cat([(one[name] - many[name]).abs().flatten() for name in names])
    digests = {read_tensors(path)[1]["digest"] for path in out.iterdir()}
    same = "the same bits in all" if len(digests) == 1 else "DIFFERENT BITS"
    speed = f"{about['seconds']:.3f} s a step (one process, one thread: {about_one['seconds']:.3f} s)"
    return f"differences at most {float(apart.max()):.1e}, median {float(apart.median()):.1e}, {same}, {speed}"


if __name__ == "__main__":
    main()
