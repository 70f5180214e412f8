"""Torch's random state from counters, so that a restarted loop draws what an uninterrupted one would have drawn."""

from __future__ import annotations

import torch

from hdgan.randomness import counter_key


def torch_seed(seed: int, name: str, index: int = 0) -> int:
    """A 63-bit seed for draw number `index` of the stream `name`."""
    return counter_key(seed, name, index) & (2**63 - 1)


def torch_stream(seed: int, name: str, index: int = 0, *, device: str | torch.device = "cpu") -> torch.Generator:
    """A fresh torch generator for one draw of a stream."""
    return torch.Generator(device=device).manual_seed(torch_seed(seed, name, index))


def reseed(seed: int, name: str, index: int = 0) -> None:
    """Sets torch's global state: for draws inside layers (noise, dropout) that take no generator."""
    torch.manual_seed(torch_seed(seed, name, index))
