"""Mean and standard deviation of each channel of the upsampled features, exactly, without upsampling.

With A the linear map of one axis, an upsampled map is A f A^T; its sum is a^T f a with a the column sums of A, and its
sum of squares is the sum over f * (G f G) with G = A^T A. Float64 throughout.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hdgan.features.upsample import interpolation_matrix

_SMALLEST_STD = 1e-6  # a dead channel stays at 0 instead of blowing up


@dataclass(frozen=True)
class Standardiser:
    """Per channel, over all pixels of the training images: `mean [C]`, `std [C]` float32; x becomes (x - mean) / std."""

    mean: Tensor
    std: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """`x [P, C]` standardised."""
        return (x - self.mean) / self.std


def measure(images: Iterable[Sequence[Tensor]], *, size: int) -> Standardiser:
    """The standardiser of the maps `[C, S, S]` of several images at `size` px.

    Raises:
        ValueError: there is no image.
    """
    total: Tensor | None = None
    squares: Tensor | None = None
    num = 0
    for maps in images:
        sums, square_sums = zip(*(_sums(m, size) for m in maps), strict=True)
        total = torch.cat(sums) if total is None else total + torch.cat(sums)
        squares = torch.cat(square_sums) if squares is None else squares + torch.cat(square_sums)
        num += size * size
    if total is None or squares is None:
        raise ValueError("no image to measure")
    mean = total / num
    variance = (squares / num - mean.square()).clamp(min=0.0)
    return Standardiser(mean.float(), variance.sqrt().clamp(min=_SMALLEST_STD).float())


def _sums(m: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Sum and sum of squares of each channel of the upsampled map, `[C]` float64."""
    f = m.double().cpu()
    matrix = interpolation_matrix(m.shape[-1], size)
    column, gram = matrix.sum(dim=0), matrix.t() @ matrix
    return torch.einsum("chw,h,w->c", f, column, column), (f * (gram @ f @ gram)).sum(dim=(1, 2))
