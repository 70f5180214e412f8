"""FIR resampling by two, the low-pass filters of StyleGAN2 (arXiv 1912.04958, appendix B).

Every function takes `x [N, C, H, W]` and a one-dimensional filter that sums to 1 and is applied along both axes.
Convolution in the signal-processing sense: the filter is flipped, which matters only for asymmetric ones (sym6).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from hdgan.generator.ops import bands

BINOMIAL = (0.125, 0.375, 0.375, 0.125)
"""[1, 3, 3, 1] / 8."""
_MOST_BFLOAT16_PX = 2048 * 2048
"""On larger maps (3000 x 3000 px is enough) the second derivative of torch's bfloat16 depthwise convolution ends the process on a CPU."""


def filter2d(x: Tensor, taps: Tensor, *, padding: tuple[int, int]) -> Tensor:
    """`x` filtered along both axes after zero padding by (before, after), negative to crop; `[N, C, H + p - k + 1, ...]`."""
    num_channels = x.shape[1]
    before, after = padding
    x = F.pad(x, (before, after, before, after))
    kernel = taps.flip(0).to(x.dtype).expand(num_channels, 1, -1)
    x = F.conv2d(x, kernel.unsqueeze(2), groups=num_channels)
    return F.conv2d(x, kernel.unsqueeze(3), groups=num_channels)


def binomial(x: Tensor, *, padding: int, gain: float = 1.0) -> Tensor:
    """`filter2d(x, BINOMIAL, padding=(padding, padding)) * gain` without a padded copy: one pass of 4 x 4 taps.

    A CPU's bfloat16 is faster with two passes of four, its float16 with none at all (benchmarks/RESULTS.md).
    """
    if x.dtype == torch.bfloat16 and not x.is_cuda and x.shape[2] * x.shape[3] <= _MOST_BFLOAT16_PX:
        row = (torch.tensor(BINOMIAL) * math.sqrt(gain)).to(x.dtype).expand(x.shape[1], 1, 4)
        x = F.conv2d(x, row.unsqueeze(2), padding=(0, padding), groups=x.shape[1])
        return F.conv2d(x, row.unsqueeze(3), padding=(padding, 0), groups=x.shape[1])
    return _square_taps(x, gain=gain, stride=1, padding=padding)


def binomial_rows(x: Tensor, *, gain: float) -> Tensor:
    """`binomial(x, padding=1, gain=gain)` without zeros above and below: `[N, C, H - 3, W - 1]`."""
    taps = torch.tensor(BINOMIAL, dtype=torch.float64)
    kernel = (torch.outer(taps, taps) * gain).to(x).expand(x.shape[1], 1, 4, 4)
    return F.conv2d(x, kernel, padding=(0, 1), groups=x.shape[1])


def halve_binomial(x: Tensor) -> Tensor:
    """`downsample2(x, BINOMIAL)`, computing the pixels that are kept and no others."""
    return _square_taps(x, gain=1.0, stride=2, padding=1)


def _square_taps(x: Tensor, *, gain: float, stride: int, padding: int) -> Tensor:
    """`x` filtered with 4 x 4 taps, on a CPU in float32: its 16-bit depthwise convolutions are up to fourteen times slower."""
    taps = torch.tensor(BINOMIAL, dtype=torch.float64)
    working = x if x.is_cuda or x.dtype == torch.float64 else x.float()
    kernel = (torch.outer(taps, taps) * gain).to(working).expand(x.shape[1], 1, 4, 4)
    if stride == 1:
        return bands.conv2d(working, kernel, padding=padding, groups=x.shape[1]).to(x.dtype)
    return F.conv2d(working, kernel, stride=stride, padding=padding, groups=x.shape[1]).to(x.dtype)


def insert_zeros(x: Tensor) -> Tensor:
    """`x` with a zero after each pixel along both axes, `[N, C, 2 H, 2 W]`."""
    N, C, H, W = x.shape
    wide = torch.stack((x, torch.zeros_like(x)), dim=-1).reshape(N, C, H, 2 * W)
    return torch.stack((wide, torch.zeros_like(wide)), dim=-2).reshape(N, C, 2 * H, 2 * W)


def upsample2(x: Tensor, taps: Tensor) -> Tensor:
    """`x` at twice the size: zeros inserted, then filtered with gain 4."""
    num_taps = taps.numel()
    return filter2d(insert_zeros(x), taps * 2, padding=((num_taps + 1) // 2, (num_taps - 2) // 2))


def downsample2(x: Tensor, taps: Tensor, *, padding: tuple[int, int] | None = None) -> Tensor:
    """`x` filtered, then every second pixel; `padding` defaults to the one that halves the size."""
    num_taps = taps.numel()
    around = ((num_taps - 1) // 2, (num_taps - 2) // 2) if padding is None else padding
    return filter2d(x, taps, padding=around)[:, :, ::2, ::2]


def upsample2_binomial(x: Tensor) -> Tensor:
    """`upsample2(x, BINOMIAL)` without the zeros: each output is 1/4 of one neighbour and 3/4 of the nearest, per axis."""
    N, C, H, W = x.shape
    padded = F.pad(x, (1, 1, 1, 1))
    near = padded[:, :, 1:-1] * 0.75
    rows = torch.stack((near + padded[:, :, :-2] * 0.25, near + padded[:, :, 2:] * 0.25), dim=3).reshape(N, C, 2 * H, W + 2)
    near = rows[..., 1:-1] * 0.75
    return torch.stack((near + rows[..., :-2] * 0.25, near + rows[..., 2:] * 0.25), dim=4).reshape(N, C, 2 * H, 2 * W)


def add_upsampled(x: Tensor, half: Tensor, *, first: int = 0) -> Tensor:
    """`x [N, C, rows, 2 W]` with rows `first` on of `upsample2_binomial(half)` added to it in place, some at a time."""
    num_rows = x.shape[2]
    step = num_rows if x.is_cuda else bands.rows_at_once(num_rows, num_values=x.numel())
    for start in range(0, num_rows, step):
        stop = min(start + step, num_rows)
        top, bottom = (first + start) // 2, (first + stop + 1) // 2  # rows of `half` under these
        above = min(top, 1)
        seen = upsample2_binomial(half[:, :, top - above : bottom + 1])
        skipped = first + start - 2 * (top - above)
        x[:, :, start:stop] += seen[:, :, skipped : skipped + stop - start]
    return x
