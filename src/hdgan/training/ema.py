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
    old: list[torch.Tensor] = list(average.parameters())
    new: list[torch.Tensor] = list(current.parameters())
    assert len(old) == len(new), "two networks of one shape"
    torch._foreach_lerp_(old, new, 1.0 - beta)  # one call for all of them
    for old_buffer, new_buffer in zip(average.buffers(), current.buffers(), strict=True):
        old_buffer.copy_(new_buffer)
