"""Exact prediction of whole images without image-sized feature vectors.

The first linear layer commutes with bilinear upsampling, so each map is projected at its own resolution and the
projection is upsampled; standardisation and batch normalisation fold into the linear layers around them. Same numbers
as the plain way to float32 rounding (docs/concepts/factored-prediction.md).

All of it is matrix products on pieces that stay in the processor's cache: a strip of rows is projected; between two of its rows
stands a weighted mean; along a row, a tile of pixels is a small matrix times the few cells under it, all resolutions stacked in one product.

Letters: M members, C channels of all maps, S edge of a map, R of the image, K classes, D width of the first hidden layer, P pixels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from hdgan.classifier.mlp import PixelMlp
from hdgan.features.moments import Standardiser
from hdgan.features.upsample import Windows, neighbours, upsample_reference, windows

_STRIP_ROWS = 64
"""Image rows that are projected together: enough that the coarse rows shared with the next strip cost little."""
_BLOCK_VALUES = 2**19
"""Hidden values held at image width at one time: 2 MB, about what the second cache of a core holds."""
_TILE_PX = 16
"""Pixels of a row that are one product: smaller means fewer multiplications, larger better use of the processor."""


@dataclass(frozen=True)
class Folded:
    """The linear layers of all members, standardisation and batch normalisation folded in.

    Layer i has `weights[i] [M, out, in]` and `biases[i] [M, out]`; between them only ReLU is left.
    """

    weights: tuple[Tensor, ...]
    biases: tuple[Tensor, ...]

    @property
    def num_members(self) -> int:
        """M."""
        return len(self.weights[0])

    def to(self, device: torch.device) -> Folded:
        """The same on `device`."""
        return Folded(tuple(w.to(device) for w in self.weights), tuple(b.to(device) for b in self.biases))


def fold(members: Sequence[PixelMlp], standardiser: Standardiser) -> Folded:
    """The members as linear layers with ReLU between them, evaluated in float64 and rounded once."""
    folded = [_fold_one(member, standardiser) for member in members]
    layers = zip(*folded, strict=True)
    pairs = [(torch.stack([w for w, _ in layer]).float(), torch.stack([b for _, b in layer]).float()) for layer in layers]
    return Folded(tuple(w for w, _ in pairs), tuple(b for _, b in pairs))


def _fold_one(member: PixelMlp, standardiser: Standardiser) -> list[tuple[Tensor, Tensor]]:
    (weight, bias), *later = member.affine_layers()
    std = standardiser.std.double()
    return [(weight / std, bias - weight @ (standardiser.mean.double() / std)), *later]


def probabilities(folded: Folded, maps: Sequence[Tensor], *, size: int) -> Iterator[tuple[int, Tensor]]:
    """As `logits`, but class probabilities."""
    for first, found in logits(folded, maps, size=size):
        yield first, F.softmax(found, dim=1)


@torch.no_grad()
def logits(folded: Folded, maps: Sequence[Tensor], *, size: int) -> Iterator[tuple[int, Tensor]]:
    """Strips of rows from the top: the first row, and logits `[M, K, rows, R]` of the maps `[C, S, S]` at `size` px."""
    levels = _levels(folded, maps)
    # What has image size already is not upsampled; where no map has, zero channels stand for it.
    native = levels.pop(size, _Level([maps[0].new_zeros(0, size, size)], folded.weights[0][..., :0]))
    across = windows(list(levels), size=size, tile=math.gcd(size, _TILE_PX))
    across = across.to(maps[0].device)
    for first in range(0, size, _STRIP_ROWS):
        last = min(first + _STRIP_ROWS, size)
        strips = [_strip(edge, level, first, last, size) for edge, level in levels.items()]
        fine = native.cells(first, last).flatten(1)
        heads = range(folded.num_members)
        found = torch.stack([_head(folded, head, fine, native.weight[head], strips, across, size) for head in heads])
        yield first, found.view(*found.shape[:2], last - first, size)


@dataclass(frozen=True)
class _Level:
    """All maps of one resolution, `[C, S, S]` each, and their columns `[M, D, sum C]` of the first layer."""

    maps: list[Tensor]
    weight: Tensor

    def cells(self, first: int, last: int) -> Tensor:
        """Rows `first` to `last - 1`, `[sum C, rows, S]` float32."""
        return torch.cat([m[:, first:last].float() for m in self.maps])


@dataclass(frozen=True)
class _Strip:
    """What a strip of image rows needs of a level: `cells [C, rows S]` and `weight [M, D, C]`.

    Image row i lies between cell rows `upper[i]` and `lower[i]`; `down[i]` is the weight of the lower.
    """

    cells: Tensor
    weight: Tensor
    edge: int
    upper: list[int]
    lower: list[int]
    down: list[float]

    def project(self, head: int) -> Tensor:
        """The first layer of one member without bias, `[rows, S D]`."""
        projected = self.cells.t() @ self.weight[head].t()
        return projected.view(-1, self.edge * projected.shape[1])


def _levels(folded: Folded, maps: Sequence[Tensor]) -> dict[int, _Level]:
    """The levels by their edge."""
    columns = torch.split(folded.weights[0], [len(m) for m in maps], dim=2)
    pairs: dict[int, list[tuple[Tensor, Tensor]]] = {}
    for m, part in zip(maps, columns, strict=True):
        pairs.setdefault(m.shape[-1], []).append((m, part))
    return {edge: _Level([m for m, _ in found], torch.cat([part for _, part in found], dim=2)) for edge, found in pairs.items()}


def _strip(edge: int, level: _Level, first: int, last: int, size: int) -> _Strip:
    upper, lower, down = neighbours(torch.arange(first, last), size=size, edge=edge)
    start = int(upper[0])
    cells = level.cells(start, int(lower[-1]) + 1).flatten(1)
    return _Strip(cells, level.weight, edge, (upper - start).tolist(), (lower - start).tolist(), down.tolist())


def _head(folded: Folded, head: int, fine: Tensor, weight: Tensor, strips: Sequence[_Strip], across: Windows, size: int) -> Tensor:
    """Logits `[K, P]` of a strip by one member; `fine [C, P]` are the maps of image size, `weight [D, C]` their part of the first layer."""
    projected = [strip.project(head) for strip in strips]
    tiles, tile, num = across.weights.shape
    width = len(weight)
    edges = [strip.edge for strip in strips]
    row_of_cells = fine.new_empty(sum(edges), width)
    places = torch.split(row_of_cells, edges) if edges else ()
    index = across.index.flatten()
    block = max(1, _BLOCK_VALUES // (size * width)) * size
    found = []
    for start in range(0, fine.shape[1], block):
        x = torch.addmm(folded.biases[0][head], fine[:, start : start + block].t(), weight.t())
        for i, row in enumerate(x.view(-1, tiles, tile, width), start=start // size):
            for strip, values, place in zip(strips, projected, places, strict=True):
                torch.lerp(values[strip.upper[i]], values[strip.lower[i]], strip.down[i], out=place.view(-1))
            row.baddbmm_(across.weights, row_of_cells.index_select(0, index).view(tiles, num, width))
        found.append(_later_layers(folded, head, x))
    return torch.cat(found, dim=1)


def _later_layers(folded: Folded, head: int, x: Tensor) -> Tensor:
    """Logits `[K, P]` of what the first layer of one member gave, `[P, D]`, which is overwritten."""
    if len(folded.weights) == 1:
        return x.t()
    for weight, bias in zip(folded.weights[1:-1], folded.biases[1:-1], strict=True):
        x = torch.addmm(bias[head], x.relu_(), weight[head].t())
    return torch.addmm(folded.biases[-1][head].unsqueeze(1), folded.weights[-1][head], x.relu_().t())


def logits_reference(members: Sequence[PixelMlp], standardiser: Standardiser, maps: Sequence[Tensor], *, size: int) -> Tensor:
    """`[M, K, R, R]` the plain way: every map at image size, concatenated, pixel by pixel through the modules."""
    features = upsample_reference(maps, size).flatten(1).t()
    with torch.no_grad():
        found = torch.stack([member.eval()(standardiser(features)) for member in members])
    return found.transpose(1, 2).reshape(len(members), -1, size, size)
