"""Exact prediction of whole images without image-sized feature vectors.

The first linear layer commutes with bilinear upsampling, so each map is projected at its own resolution and the
projection is upsampled; standardisation and batch normalisation fold into the linear layers around them. Same numbers
as the plain way to float32 rounding (docs/concepts/factored-prediction.md). Letters: M members, C channels of all maps,
S edge of a map, R of the image, K classes, D width of the first hidden layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from hdgan.classifier.mlp import NORM_EPSILON, PixelMlp
from hdgan.features.moments import Standardiser
from hdgan.features.upsample import upsample_reference, upsample_rows

_BAND_VALUES = 1_000_000
"""Numbers of a member held at image width at one time: 4 MB in float32, what a processor's cache holds."""


@dataclass(frozen=True)
class Folded:
    """The linear layers of all members, standardisation and batch normalisation folded in: layer i has weight `[M, out, in]`, bias `[M, out]`."""

    weights: tuple[Tensor, ...]
    biases: tuple[Tensor, ...]

    @property
    def num_members(self) -> int:
        """M."""
        return len(self.weights[0])


def fold(members: Sequence[PixelMlp], standardiser: Standardiser) -> Folded:
    """The members as linear layers with ReLU between them, evaluated in float64 and rounded once."""
    folded = [_fold_one(member, standardiser) for member in members]
    layers = zip(*folded, strict=True)
    pairs = [(torch.stack([w for w, _ in layer]).float(), torch.stack([b for _, b in layer]).float()) for layer in layers]
    return Folded(tuple(w for w, _ in pairs), tuple(b for _, b in pairs))


def _fold_one(member: PixelMlp, standardiser: Standardiser) -> list[tuple[Tensor, Tensor]]:
    scale, shift = 1 / standardiser.std.double(), -standardiser.mean.double() / standardiser.std.double()
    layers = []
    for i, linear in enumerate(member.linears):
        weight, bias = (value.detach().double() for value in linear.parameters())
        layers.append((weight * scale, bias + weight @ shift))
        if i < len(member.norms):
            held = {name: value.double() for name, value in member.norms[i].state_dict().items()}
            scale = held["weight"] / (held["running_var"] + NORM_EPSILON).sqrt()
            shift = held["bias"] - held["running_mean"] * scale
    return layers


def probabilities(folded: Folded, maps: Sequence[Tensor], *, size: int) -> Iterator[tuple[int, Tensor]]:
    """Bands of rows from the top: the first row, and probabilities `[M, K, rows, R]` of the maps `[C, S, S]` at `size` px."""
    projected = _project(folded, maps)
    width = folded.weights[0].shape[1]
    rows = max(1, min(size, _BAND_VALUES // (width * size)))
    for first in range(0, size, rows):
        last = min(first + rows, size)
        # One member at a time: what is upsampled together must stay in the processor's cache.
        yield first, torch.stack([_head(folded, projected, member, first, last, size) for member in range(folded.num_members)])


def _project(folded: Folded, maps: Sequence[Tensor]) -> list[Tensor]:
    """The first layer without bias, applied to the maps of each resolution: `[M D, S, S]` each, fine to coarse."""
    weight = folded.weights[0].flatten(0, 1)  # [M D, C]
    by_edge: dict[int, list[tuple[Tensor, Tensor]]] = {}
    for m, part in zip(maps, torch.split(weight, [len(m) for m in maps], dim=1), strict=True):
        by_edge.setdefault(m.shape[-1], []).append((m.float(), part))
    projected = []
    for edge in sorted(by_edge, reverse=True):
        stacked = torch.cat([m for m, _ in by_edge[edge]]).flatten(1)
        part = torch.cat([part for _, part in by_edge[edge]], dim=1)
        projected.append((part @ stacked).view(-1, edge, edge))
    return projected


def _head(folded: Folded, projected: Sequence[Tensor], member: int, first: int, last: int, size: int) -> Tensor:
    """Probabilities `[K, rows, R]` of a band by one member."""
    width = folded.weights[0].shape[1]
    channels = slice(member * width, (member + 1) * width)
    total = upsample_rows(projected[0][channels], first=first, last=last, size=size)
    for m in projected[1:]:
        total = total + upsample_rows(m[channels], first=first, last=last, size=size)
    x = total.reshape(width, -1) + folded.biases[0][member].unsqueeze(1)
    for weight, bias in zip(folded.weights[1:], folded.biases[1:], strict=True):
        x = torch.addmm(bias[member].unsqueeze(1), weight[member], x.relu_())
    return F.softmax(x, dim=0).view(-1, last - first, size)


def probabilities_reference(members: Sequence[PixelMlp], standardiser: Standardiser, maps: Sequence[Tensor], *, size: int) -> Tensor:
    """`[M, K, R, R]` the plain way: every map at image size, concatenated, pixel by pixel through the modules."""
    features = upsample_reference(maps, size).flatten(1).t()
    with torch.no_grad():
        logits = torch.stack([member.eval()(standardiser(features)) for member in members])
    return F.softmax(logits, dim=2).transpose(1, 2).reshape(len(members), -1, size, size)
