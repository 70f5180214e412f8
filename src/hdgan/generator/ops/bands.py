"""Convolution of large maps in bands of rows, so that what the library lays out anew for itself is that of a band.

oneDNN copies maps to blocks of 16 channels before it convolves on a CPU: eight channels of 4096 x 4096 (0.5 GB) need 2 GB beside them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_LARGE_VALUES = 2**22
"""Maps with more values than this are convolved in bands; 16 MB in float32."""
_BAND_VALUES = 2**20
"""Values of a band: bands of 16 MB took more memory and were no faster."""


def conv2d(x: Tensor, weight: Tensor, *, padding: int, groups: int = 1, scale: Tensor | None = None) -> Tensor:
    """`F.conv2d` of `x [N, C, H, W]` times `scale [N, C, 1, 1]`, stride 1, `padding` below the kernel's edge.

    In bands where no gradient is wanted and a CPU has large maps.
    """
    assert padding < weight.shape[2], "a row that sees padding alone would be no band"
    if not is_large(x, num_out=weight.shape[0]):
        return F.conv2d(x if scale is None else x * scale, weight, padding=padding, groups=groups)
    kernel, height = weight.shape[2], x.shape[2]
    num_rows = height + 2 * padding - kernel + 1
    found = x.new_empty(x.shape[0], weight.shape[0], num_rows, x.shape[3] + 2 * padding - weight.shape[3] + 1)
    step = rows_at_once(num_rows, num_values=max(x.numel(), found.numel()))
    for first in range(0, num_rows, step):
        last = min(first + step, num_rows)
        top, bottom = first - padding, last - padding + kernel - 1  # rows of x that are seen, some of them beyond it
        band = x[:, :, max(top, 0) : min(bottom, height)]
        if scale is not None:
            band = band * scale
        above, below = max(-top, 0), max(bottom - height, 0)
        if above or below:
            band = F.pad(band, (0, 0, above, below))
        found[:, :, first:last] = F.conv2d(band, weight, padding=(0, padding), groups=groups)
    return found


def is_large(x: Tensor, *, num_out: int) -> bool:
    """Whether a convolution of `x [N, C, H, W]` to `num_out` channels is for bands: on a CPU, and no gradient is wanted."""
    return is_drawing() and not x.is_cuda and are_large(x.numel() * max(1, num_out // x.shape[1]))


def are_large(num_values: int) -> bool:
    """Whether maps of so many values in all are for bands on a CPU."""
    return num_values > _LARGE_VALUES


def is_drawing() -> bool:
    """Whether nothing will be differentiated, and no compiler is watching: layers may then write over the maps that they made themselves.

    A large image's peak of memory is two or three copies of its finest maps; the numbers are the same.
    """
    return not (torch.is_grad_enabled() or torch.compiler.is_compiling())


def rows_at_once(num_rows: int, *, num_values: int) -> int:
    """How many of `num_rows` rows, which hold `num_values` in all, make a band."""
    return max(1, _BAND_VALUES * num_rows // num_values)
