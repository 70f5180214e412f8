"""Sampling an image at given places, differentiable to any order on every torch from 2.11 on.

A bilinear warp is linear in its image, so its gradient is its adjoint and the gradient of the adjoint is the warp
again. Written that way, R1 can be differentiated through it also where torch has no second derivative of its own.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def warp(x: Tensor, grid: Tensor) -> Tensor:
    """`[N, C, H', W']`: `x [N, C, H, W]` at `grid [N, H', W', 2]` (x, y from -1 to 1, pixel edges), zeros outside.

    No gradient flows to `grid`.
    """
    return _Warp.apply(x, grid)  # type: ignore[no-any-return, no-untyped-call]


class _Warp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, grid: Tensor) -> Tensor:
        ctx.save_for_backward(grid)
        ctx.shape = x.shape
        return F.grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=False)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (grid,) = ctx.saved_tensors
        return _Adjoint.apply(gradients[0], grid, ctx.shape), None  # type: ignore[no-untyped-call]


class _Adjoint(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, y: Tensor, grid: Tensor, shape: torch.Size) -> Tensor:
        ctx.save_for_backward(grid)
        like = torch.empty(shape, dtype=y.dtype, device=y.device)
        gradient, _ = torch.ops.aten.grid_sampler_2d_backward(y.contiguous(), like, grid, 0, 0, False, [True, False])
        return gradient  # type: ignore[no-any-return]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (grid,) = ctx.saved_tensors
        return _Warp.apply(gradients[0], grid), None, None  # type: ignore[no-untyped-call]
