"""What the processes of the tests of shared training do."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import torch
import torch._dynamo  # the first optimiser imports it, for seconds; here the server does once for all
import torch.utils.tensorboard

from hdgan.errors import OutOfSpace
from hdgan.generator import phases, shares
from hdgan.generator.config import GeneratorConfig
from hdgan.generator.crops import ArrayTiles, Crops
from hdgan.generator.feeding import read_batch
from hdgan.generator.stage import run_generator
from hdgan.generator.state import from_tensors, new_state, to_tensors
from hdgan.progress import Silent
from hdgan.training import checkpoint
from hdgan.training.distributed import joined
from hdgan.training.ranks import rank_of


def config_of(fields):
    return GeneratorConfig(**fields)


def train_steps(fields, first, last, before, out, real=None):
    """Takes steps `first` to `last` - 1, the process given by torchrun's variables doing its share; the first one writes the state.

    Every process writes the sum of its weights and the crops that it read: `<out>/<rank>.npz`.
    """
    config = config_of(fields)
    settings = config.train_settings(seed=0)
    tiles = ArrayTiles(np.random.default_rng(0).integers(0, 255, (12, 24, 24, 3), dtype=np.uint8))
    with joined("cpu") as group:
        state = new_state(config.network_spec(), settings)
        state.group = group
        if before is not None:
            from_tensors(state, *checkpoint.read_tensors(before))
        crops = Crops(tiles, chosen=range(12), size_px=config.resolution, seed=0)
        mine = shares.places(settings, state.G.spec, group)
        seen = []
        for _ in range(first, last):
            seen.append(read_batch(crops, state.num_images, mine))
            batch = torch.from_numpy(seen[-1])
            if real is not None and group.rank.number == real:
                batch = batch.float() / 127.5 - 1
                batch[0, 0, 0, 0] = torch.nan
            phases.train_step(state, batch, settings)
        tensors, facts = to_tensors(state)
        out.mkdir(parents=True, exist_ok=True)
        np.savez(out / f"{group.rank.number}.npz", digest=checkpoint.digest(tensors), seen=np.stack(seen), mine=np.array(list(mine)))
        if group.is_first:
            checkpoint.write_tensors(out / "state.safetensors", tensors, facts | {"report": state.report})
        group.wait()


class HurtAt(Silent):
    """Sends the signal to the process of number `rank` alone, after some steps; without one its disk is full."""

    def __init__(self, rank: int, number: int | None, steps: int) -> None:
        self.left = steps if rank_of().number == rank else -1
        self.number = number

    def advance(self, steps: int = 1, *, note: str = "") -> None:
        self.left -= 1
        if self.left == 0 and self.number is None:
            raise OutOfSpace("the disk is full")
        if self.left == 0:
            os.kill(os.getpid(), self.number)


def train_stage(fields, tiles, out, hurt=None):
    """The generator stage; `hurt` is (rank, signal, steps)."""
    from hdgan.generator import stage

    progress = HurtAt(*hurt) if hurt else Silent()
    if hurt:
        stage.SILENT = progress  # what the processes that do not report listen to
    run_generator(config_of(fields), tiles=Path(tiles), out=Path(out), seed=3, progress=progress)


def train_until_weights_overflow(fields, tiles, out, steps):
    """The generator stage, whose averaged weights are not finite after some steps, though every gradient was."""
    from hdgan.generator import train

    def overflowing(state, *given):
        phases.train_step(state, *given)
        if state.num_steps == steps:
            state.G_average.synthesis.b16.torgb.bias.fill_(torch.inf)

    train.train_step = overflowing
    run_generator(config_of(fields), tiles=Path(tiles), out=Path(out), seed=3)


SIGTERM, SIGKILL, SIGUSR1 = signal.SIGTERM, signal.SIGKILL, signal.SIGUSR1
