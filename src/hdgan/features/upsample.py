"""Bilinear upsampling of tapped maps to image size: the plain reference, and the same as data, for those who need only a part.

Half-pixel centres and replicated borders, as `torch.nn.functional.interpolate(mode="bilinear", align_corners=False)`.
Letters: C channels of a map, S its edge, H = W = R the image's edge, P pixels.
"""

from __future__ import annotations

import math
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
class Span:
    """A run of P pixels of an axis, and the cells that it is interpolated from: `start` to `stop - 1` of the whole axis.

    Pixel i lies between the cells `near[i]` and `far[i]`, counted from `start`; `weight[i]` is that of the far one.
    """

    start: int
    stop: int
    near: Tensor
    far: Tensor
    weight: Tensor

    @property
    def num_cells(self) -> int:
        """How many cells that is, n."""
        return self.stop - self.start

    def matrix(self) -> Tensor:
        """`[P, n]` float32: the interpolation as a product with the cells."""
        found = torch.zeros(len(self.near), self.num_cells)
        # Added, because at the borders both neighbours are one cell.
        found.scatter_add_(1, self.near.unsqueeze(1), (1 - self.weight).unsqueeze(1))
        return found.scatter_add_(1, self.far.unsqueeze(1), self.weight.unsqueeze(1))


def span(first: int, last: int, *, size: int, edge: int) -> Span:
    """Pixels `first` to `last - 1` of an axis of `size` px, on one of `edge` cells."""
    near, far, weight = neighbours(torch.arange(first, last), size=size, edge=edge)
    start = int(near[0])
    return Span(start, int(far[-1]) + 1, near - start, far - start, weight)


@dataclass(frozen=True)
class Windows:
    """A span cut into tiles of T px, each a small matrix times the few cells under it: tile t is `weights[t] @ cells[index[t]]`.

    `index [tiles, n]` int64, counted from the span's start; `weights [tiles, T, n]` float32.
    """

    index: Tensor
    weights: Tensor

    def padded(self, num: int) -> Windows:
        """The same with `num` cells in each window; those added weigh nothing."""
        more = num - self.index.shape[1]
        return Windows(F.pad(self.index, (0, more)), F.pad(self.weights, (0, more)))


def windows(run: Span, *, tile: int) -> Windows:
    """The windows of `run`; where `tile` does not divide its length, its last pixel is repeated to the end of the last tile."""
    filled = torch.arange(math.ceil(len(run.near) / tile) * tile).clamp(max=len(run.near) - 1)
    near, far, weight = (values[filled].view(-1, tile) for values in (run.near, run.far, run.weight))
    num = int((far[:, -1] - near[:, 0]).max()) + 1
    start = near[:, :1].clamp(max=run.num_cells - num)
    weights = torch.zeros(*near.shape, num)
    weights.scatter_add_(2, (near - start).unsqueeze(2), (1 - weight).unsqueeze(2))
    weights.scatter_add_(2, (far - start).unsqueeze(2), weight.unsqueeze(2))
    return Windows(start + torch.arange(num), weights)


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
