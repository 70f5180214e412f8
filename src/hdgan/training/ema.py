"""Exponential moving average of a network's weights, with a half-life in images (arXiv 2006.06676, appendix)."""

from __future__ import annotations

import torch
from torch import nn


def decay(*, batch: int, half_life_images: float) -> float:
    """The weight of the old average after a step of `batch` images."""
    return float(0.5 ** (batch / max(half_life_images, 1e-8)))


@torch.no_grad()
def update(average: nn.Module, current: nn.Module, *, beta: float) -> None:
    """Moves the parameters of `average` towards those of `current`; buffers are copied."""
    for old, new in zip(average.parameters(), current.parameters(), strict=True):
        old.copy_(new.lerp(old, beta))
    for old_buffer, new_buffer in zip(average.buffers(), current.buffers(), strict=True):
        old_buffer.copy_(new_buffer)
