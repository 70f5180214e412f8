"""Bilinear upsampling of tapped maps to image size: the plain reference, and the same as data, for those who need only a part.

Half-pixel centres and replicated borders, as `torch.nn.functional.interpolate(mode="bilinear", align_corners=False)`.
Letters: C channels of a map, S its edge, H = W = R the image's edge, P pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


def upsample_reference(maps: Sequence[Tensor], size: int) -> Tensor:
    """`[sum C, R, R]`: every map `[C, S, S]` at image size, concatenated; the paper's literal feature array."""
    grown = [F.interpolate(m.float().unsqueeze(0), size=(size, size), mode="bilinear", align_corners=False) for m in maps]
    return torch.cat(grown, dim=1)[0]


def neighbours(places: Tensor, *, size: int, edge: int) -> tuple[Tensor, Tensor, Tensor]:
    """For pixels `places [P]` of an axis of `size` px: the two indices on an axis of `edge` cells, and the second's weight."""
    source = ((places.double() + 0.5) * (edge / size) - 0.5).clamp(min=0.0)
    first = source.floor().long().clamp(max=edge - 1)
    second = (first + 1).clamp(max=edge - 1)
    return first, second, (source - first).float()


def gather(maps: Sequence[Tensor], rows: Tensor, columns: Tensor, *, size: int) -> Tensor:
    """`[P, sum C]`: the upsampled features at pixels (`rows`, `columns`), read straight from maps `[C, S, S]`.

    Equal to picking pixels from `upsample_reference`, without anything of image size.
    """
    parts = []
    for m in maps:
        edge = m.shape[-1]
        top, bottom, down = neighbours(rows, size=size, edge=edge)
        left, right, across = neighbours(columns, size=size, edge=edge)
        flat = m.reshape(m.shape[0], -1)
        upper = torch.lerp(flat[:, top * edge + left].float(), flat[:, top * edge + right].float(), across)
        lower = torch.lerp(flat[:, bottom * edge + left].float(), flat[:, bottom * edge + right].float(), across)
        parts.append(torch.lerp(upper, lower, down))
    return torch.cat(parts, dim=0).t().contiguous()


@dataclass(frozen=True)
class Windows:
    """An axis cut into tiles of T px, each a small matrix times the few cells under it: tile t is `weights[t] @ cells[index[t]]`.

    `index [tiles, n]` int64, `weights [tiles, T, n]` float32.
    """

    index: Tensor
    weights: Tensor

    def to(self, device: torch.device) -> Windows:
        """The same on `device`."""
        return Windows(self.index.to(device), self.weights.to(device))


def windows(edges: Sequence[int], *, size: int, tile: int) -> Windows:
    """The upsampling of an axis from `edges` cells to `size` px, a multiple of `tile`; several are laid end to end and their results added."""
    index, weights = [torch.zeros(size // tile, 0, dtype=torch.long)], [torch.zeros(size // tile, tile, 0)]
    for number, edge in enumerate(edges):
        first, second, weight = (values.view(-1, tile) for values in neighbours(torch.arange(size), size=size, edge=edge))
        num = int((second[:, -1] - first[:, 0]).max()) + 1
        start = first[:, :1].clamp(max=edge - num)
        part = torch.zeros(size // tile, tile, num)
        # Added, because at the borders both neighbours are one cell.
        part.scatter_add_(2, (first - start).unsqueeze(2), (1 - weight).unsqueeze(2))
        part.scatter_add_(2, (second - start).unsqueeze(2), weight.unsqueeze(2))
        index.append(sum(edges[:number]) + start + torch.arange(num))
        weights.append(part)
    return Windows(torch.cat(index, dim=1), torch.cat(weights, dim=2))


@dataclass(frozen=True)
class AxisSums:
    """What the upsampling matrix A `[R, S]` of an axis does to sums, float64: `columns` = A's column sums `[S]`, and A^T A,
    which is tridiagonal: `diagonal [S]`, `beside [S - 1]`.
    """

    columns: Tensor
    diagonal: Tensor
    beside: Tensor


def axis_sums(edge: int, *, size: int) -> AxisSums:
    """The sums of the upsampling from `edge` cells to `size` px."""
    first, second, weight = neighbours(torch.arange(size), size=size, edge=edge)
    far = torch.where(second > first, weight.double(), 0.0)
    near = 1 - far

    def collect(index: Tensor, values: Tensor) -> Tensor:
        return torch.zeros(edge, dtype=torch.float64).scatter_add_(0, index, values)

    columns = collect(first, near) + collect(second, far)
    diagonal = collect(first, near.square()) + collect(second, far.square())
    return AxisSums(columns, diagonal, collect(first, near * far)[:-1])
