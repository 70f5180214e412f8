"""Mean and standard deviation of each channel of the upsampled features, exactly, without upsampling.

With A the linear map of one axis, an upsampled map is A f A^T; its sum is a^T f a with a the column sums of A, and its
sum of squares is the sum over f * (G f G) with G = A^T A, which is tridiagonal: a few products for each value, however large
the image. Float64 throughout, in pieces that stay in a core's cache.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hdgan.features.upsample import AxisSums, axis_sums

_SMALLEST_STD = 1e-6  # a dead channel stays at 0 instead of blowing up
_CHUNK_VALUES = 2**17


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
    """Mean and variance `[C, 2]` float64 of each channel of the upsampled map, some channels and some rows at a time."""
    edge = m.shape[-1]
    sums = axis_sums(edge, size=size)
    rows = min(edge, max(1, _CHUNK_VALUES // edge))
    found = []
    for part in torch.split(m, max(1, _CHUNK_VALUES // edge**2)):
        held = part.cpu()
        bands = [(first, min(first + rows, edge)) for first in range(0, edge, rows)]
        mean = (
            sum((held[:, a:b].double() @ sums.columns @ sums.columns[a:b] for a, b in bands), torch.zeros(len(held), dtype=torch.float64))
            / size**2
        )
        spread = torch.zeros_like(mean)
        for first, last in bands:
            f = held[:, first : last + 1].double() - mean.view(-1, 1, 1)  # with the first row of the next band, if there is one
            g = _gram(f, sums)
            spread += (f * g).sum(dim=2)[:, : last - first] @ sums.diagonal[first:last]
            # Each pair of neighbouring rows counts from both sides, and G is symmetric.
            pairs = f.shape[1] - 1
            spread += 2 * ((f[:, :-1] * g[:, 1:]).sum(dim=2) @ sums.beside[first : first + pairs])
        found.append(torch.stack([mean, spread.clamp(min=0) / size**2], dim=1))
    return torch.cat(found)


def _gram(f: Tensor, sums: AxisSums) -> Tensor:
    """A^T A along the last axis of `f`."""
    result = f * sums.diagonal
    result[..., 1:] += f[..., :-1] * sums.beside
    result[..., :-1] += f[..., 1:] * sums.beside
    return result
