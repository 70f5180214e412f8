"""Bilinear upsampling of tapped maps to image size: the plain reference, and exact values at chosen pixels only.

Half-pixel centres and replicated borders, as `torch.nn.functional.interpolate(mode="bilinear", align_corners=False)`.
Letters: C channels of a map, S its edge, H = W = R the image's edge, P pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

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


def upsample_rows(m: Tensor, *, first: int, last: int, size: int) -> Tensor:
    """`[C, last - first, R]`: rows `first` to `last - 1` of the map `[C, S, S]` at image size."""
    edge = m.shape[-1]
    if edge == size:
        return m[:, first:last]
    top, bottom, down = neighbours(torch.arange(first, last, device=m.device), size=size, edge=edge)
    band = torch.lerp(m[:, top], m[:, bottom], down.to(m.dtype).view(1, -1, 1))
    return F.interpolate(band.unsqueeze(0), size=(last - first, size), mode="bilinear", align_corners=False)[0]


def interpolation_matrix(edge: int, size: int) -> Tensor:
    """`[R, S]` float64: the linear map of one axis from `edge` cells to `size` px."""
    first, second, weight = neighbours(torch.arange(size), size=size, edge=edge)
    matrix = torch.zeros(size, edge, dtype=torch.float64)
    index = torch.arange(size)
    matrix.index_put_((index, first), 1 - weight.double(), accumulate=True)
    matrix.index_put_((index, second), weight.double(), accumulate=True)
    return matrix
