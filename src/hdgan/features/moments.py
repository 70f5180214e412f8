"""Mean and standard deviation of each channel of the upsampled features, exactly, without upsampling.

With A the linear map of one axis, an upsampled map is A f A^T; its sum is a^T f a with a the column sums of A, and its
sum of squares is the sum over f * (G f G) with G = A^T A, which is tridiagonal: three products for each axis and value, however large
the image. Float64 throughout.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hdgan.features.upsample import AxisSums, axis_sums

_SMALLEST_STD = 1e-6  # a dead channel stays at 0 instead of blowing up
_CHUNK_VALUES = 1_000_000


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
    return pooled([of_image(maps, size=size) for maps in images])


def of_image(maps: Iterable[Tensor], *, size: int) -> Tensor:
    """Mean and variance `[sum C, 2]` float64 of each channel of the upsampled maps `[C, S, S]`."""
    return torch.cat([_moments(m, size) for m in maps])


def pooled(found: Sequence[Tensor]) -> Standardiser:
    """The standardiser of several images of one size, from the moments of each.

    Raises:
        ValueError: there is no image.
    """
    if not found:
        raise ValueError("no image to measure")
    mean, spread = (values.mean(dim=0) for values in torch.stack(list(found)).unbind(dim=2))
    # The spread of a channel within each image, plus that of the images' means: no difference of large numbers.
    between = (torch.stack(list(found))[:, :, 0] - mean).square().mean(dim=0)
    return Standardiser(mean.float(), (spread + between).sqrt().clamp(min=_SMALLEST_STD).float())


def _moments(m: Tensor, size: int) -> Tensor:
    """Mean and variance `[C, 2]` float64 of each channel of the upsampled map."""
    sums = axis_sums(m.shape[-1], size=size)
    chunk = max(1, _CHUNK_VALUES // m[0].numel())
    found = []
    for part in torch.split(m, chunk):
        f = part.double().cpu()
        mean = torch.einsum("chw,h,w->c", f, sums.columns, sums.columns) / size**2
        f = f - mean.view(-1, 1, 1)
        found.append(torch.stack([mean, (f * _gram(_gram(f, sums).mT, sums).mT).sum(dim=(1, 2)) / size**2], dim=1))
    return torch.cat(found)


def _gram(f: Tensor, sums: AxisSums) -> Tensor:
    """A^T A along the last axis of `f`."""
    result = f * sums.diagonal
    result[..., 1:] += f[..., :-1] * sums.beside
    result[..., :-1] += f[..., 1:] * sums.beside
    return result
