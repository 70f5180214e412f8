"""Convolutions that also change the resolution by two, with the binomial low-pass filter folded in.

The references are a transposed or strided convolution and an FIR filter, as published (arXiv 1912.04958). The fast
paths compute the same numbers with one dense convolution: filter and weight are convolved first, which is exact
because both are linear (`anchors`: folded FIR). Where `x` has 16 bits the weight may have more: it is folded in those and rounded
once, as one that is not folded. Letters: weight `[O, I, 3, 3]`, x `[N, I, H, W]`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from hdgan.generator.ops import bands, fir


def double(x: Tensor, weight: Tensor, *, scale: Tensor | None = None) -> Tensor:
    """`[N, O, 2 H, 2 W]` of `x` times `scale [N, I, 1, 1]`: the faster of the two ways up for the device of `x`.

    A CPU pays for the folded filter's extra multiplications, a GPU for the second pass over memory
    (`benchmarks/fir_convolutions.py`).
    """
    if bands.is_large(x, num_out=4 * weight.shape[0]) and x.dtype == torch.float32:
        return _up_conv_in_bands(x, weight, scale)
    x = x if scale is None else x * scale
    return up_conv(x, weight) if x.is_cuda else up_conv_apart(x, weight.to(x.dtype))


def halve(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`[N, O, H / 2, W / 2]`, plus `bias [O]`: the faster of the two ways down for the device of `x`."""
    return down_conv(x, weight, bias) if x.is_cuda else down_conv_apart(x, weight.to(x.dtype), bias)


def up_conv_apart(x: Tensor, weight: Tensor) -> Tensor:
    """`up_conv_reference` with the filter in one pass."""
    return fir.binomial(F.conv_transpose2d(x, weight.transpose(0, 1), stride=2), padding=1, gain=4.0)


def _up_conv_in_bands(x: Tensor, weight: Tensor, scale: Tensor | None) -> Tensor:
    """`up_conv_apart` of `x * scale`, some rows at a time: the grown map, as large as what is made, never exists as a whole.

    Output rows 2a to 2b see rows a - 1 to b of `x`; rows beyond its edges are 0, as are the grown map's.
    """
    N, _, H, W = x.shape
    found = x.new_empty(N, weight.shape[0], 2 * H, 2 * W)
    step = bands.rows_at_once(H, num_values=found.numel())
    for first in range(0, H, step):
        last = min(first + step, H)
        band = x[:, :, max(first - 1, 0) : last + 1]
        band = band if scale is None else band * scale
        band = F.pad(band, (0, 0, int(first == 0), int(last == H)))
        grown = F.conv_transpose2d(band, weight.transpose(0, 1), stride=2)[:, :, 1:-1]
        found[:, :, 2 * first : 2 * last] = fir.binomial_rows(grown, gain=4.0)
    return found


def down_conv_apart(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`down_conv_reference` with the filter in one pass."""
    return F.conv2d(fir.binomial(x, padding=2), weight, bias, stride=2)


def up_conv_reference(x: Tensor, weight: Tensor) -> Tensor:
    """`[N, O, 2 H, 2 W]`: 3x3 transposed convolution with stride 2, then the filter with gain 4."""
    grown = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
    return fir.filter2d(grown, _binomial(x) * 2, padding=(1, 1))


def down_conv_reference(x: Tensor, weight: Tensor) -> Tensor:
    """`[N, O, H / 2, W / 2]`: the filter, then a 3x3 convolution with stride 2."""
    return F.conv2d(fir.filter2d(x, _binomial(x), padding=(2, 2)), weight, stride=2)


def up_conv(x: Tensor, weight: Tensor) -> Tensor:
    """`up_conv_reference` as one 3x3 convolution to 4 O channels and a pixel shuffle (polyphase)."""
    O, I = weight.shape[:2]
    kernel = _fold(weight.flip(2, 3), gain=4.0).to(x.dtype)  # [O, I, 6, 6]; correlation form of the transposed convolution
    phases = torch.stack([kernel[:, :, 1 - py :: 2, 1 - px :: 2] for py in (0, 1) for px in (0, 1)], dim=1)
    return F.pixel_shuffle(F.conv2d(x, phases.reshape(4 * O, I, 3, 3), padding=1), 2)


def down_conv(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`down_conv_reference` as one 6x6 convolution with stride 2."""
    return F.conv2d(x, _fold(weight, gain=1.0).to(x.dtype), bias, stride=2, padding=2)


def _fold(weight: Tensor, *, gain: float) -> Tensor:
    """The full convolution `[O, I, 6, 6]` of weight and the 4x4 binomial filter: one matrix product for all kernels."""
    O, I = weight.shape[:2]
    return (weight.reshape(O * I, 9) @ (_folding(weight) * gain)).reshape(O, I, 6, 6)


def _folding(like: Tensor) -> Tensor:
    """`[9, 36]`: each of the nine places of a 3x3 kernel, spread by the filter over 6x6."""
    taps = _binomial(like)
    units = torch.eye(9, dtype=like.dtype, device=like.device).reshape(9, 1, 3, 3)
    return F.conv2d(F.pad(units, (3, 3, 3, 3)), torch.outer(taps, taps)[None, None]).reshape(9, 36)


def _binomial(like: Tensor) -> Tensor:
    return torch.tensor(fir.BINOMIAL, dtype=like.dtype, device=like.device)
