"""What adaptive discriminator augmentation does to each image, as data (arXiv 2006.06676, appendix B).

Drawing is apart from applying: a `Draws` holds one geometric matrix, one colour map and so on for each image. Every
operation happens with chance p. Letters: N images, H and W px. Geometric matrices act on homogeneous, centred pixel
coordinates and map places in the result to places in the original.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from hdgan.errors import BadConfig
from hdgan.generator.augment_sets import BLIT, COLOUR, GEOMETRY, SETS

NUM_BANDS = 4
_BAND_POWER = (10 / 13, 1 / 13, 1 / 13, 1 / 13)  # expected power of a 1/f image in each band


class Chance(Protocol):
    """A source of draws for N images."""

    def gate(self, p: float) -> Tensor:
        """`[N]` bool: whether an operation happens."""

    def uniform(self) -> Tensor:
        """`[N]` in [0, 1)."""

    def normal(self) -> Tensor:
        """`[N]` standard normal."""


class RandomChance:
    """Draws from a torch generator."""

    def __init__(self, num: int, generator: torch.Generator) -> None:
        self.num = num
        self.generator = generator

    def gate(self, p: float) -> Tensor:
        """True with chance `p`."""
        return self.uniform() < p

    def uniform(self) -> Tensor:
        """`[N]` in [0, 1)."""
        return torch.rand(self.num, generator=self.generator)

    def normal(self) -> Tensor:
        """`[N]` standard normal."""
        return torch.randn(self.num, generator=self.generator)


@dataclass(frozen=True)
class Draws:
    """What happens to N images; None where no operation of that kind is in the set."""

    blit: Tensor | None = None
    """`[N, 3, 3]`: flips, quarter turns, whole-pixel shifts."""
    geometry: Tensor | None = None
    """`[N, 3, 3]`: all geometry together, `blit` included."""
    colour: Tensor | None = None
    """`[N, 3, 4]`: linear part and offset."""
    band_gains: Tensor | None = None
    """`[N, 4]`: amplitude of each frequency band, coarse to fine."""
    noise_sigma: Tensor | None = None
    """`[N]`."""
    stain_gain: Tensor | None = None
    """`[N, 3]`: factor of the amount of haematoxylin, eosin and the residual."""
    stain_offset: Tensor | None = None
    """`[N, 3]`: added to the amounts, in optical density."""
    hole_xy: Tensor | None = None
    """`[N, 2]`: centre of a cut-out box of half the size, as a share of the image; nan for none."""

    def of(self, share: slice | Tensor) -> Draws:
        """The draws of some of the images."""
        return Draws(**{name: None if value is None else value[share] for name, value in vars(self).items()})


def draw(chance: Chance, *, operations: Sequence[str], p: float, height: int, width: int) -> Draws:
    """Draws for one batch, each operation with chance `p`.

    Raises:
        BadConfig: an operation is unknown.
    """
    known = (*SETS["bgcfnc"], "stain")
    unknown = sorted(set(operations) - set(known))
    if unknown:
        raise BadConfig("generator.augment", f"unknown operations {unknown}", f"known are {', '.join(known)}")
    blit = _blit(chance, operations, p, height, width) if set(operations) & set(BLIT) else None
    geometry = _geometry(chance, operations, p, height, width) if set(operations) & set(GEOMETRY) else None
    if blit is not None and geometry is not None:
        geometry = blit @ geometry
    gain, offset = _stain(chance, p) if "stain" in operations else (None, None)
    return Draws(
        stain_gain=gain,
        stain_offset=offset,
        blit=blit,
        geometry=geometry,
        colour=_colour(chance, operations, p) if set(operations) & set(COLOUR) else None,
        band_gains=_band_gains(chance, p) if "filter" in operations else None,
        noise_sigma=_gated(chance, p, chance.normal().abs() * 0.1, 0.0) if "noise" in operations else None,
        hole_xy=_hole(chance, p) if "cutout" in operations else None,
    )


def _gated(chance: Chance, p: float, value: Tensor, otherwise: float) -> Tensor:
    return torch.where(chance.gate(p), value, torch.full_like(value, otherwise))


def _blit(chance: Chance, operations: Sequence[str], p: float, height: int, width: int) -> Tensor:
    matrix = torch.eye(3).repeat(len(chance.uniform()), 1, 1)
    if "xflip" in operations:
        mirror = 1 - 2 * _gated(chance, p, (chance.uniform() * 2).floor(), 0.0)
        matrix = matrix @ _scaling(mirror, torch.ones_like(mirror))
    if "rotate90" in operations:
        matrix = matrix @ _turning(_gated(chance, p, (chance.uniform() * 4).floor(), 0.0) * (math.pi / 2)).round()
    if "xint" in operations:
        gate = chance.gate(p)
        shift_x, shift_y = ((chance.uniform() * 2 - 1) * 0.125 for _ in range(2))
        matrix = matrix @ _shifting(-(shift_x * width).round() * gate, -(shift_y * height).round() * gate)
    return matrix


def _geometry(chance: Chance, operations: Sequence[str], p: float, height: int, width: int) -> Tensor:
    matrix = torch.eye(3).repeat(len(chance.uniform()), 1, 1)
    # Each of the two turns happens with a chance such that one of them or both do with chance p.
    p_turn = 1 - math.sqrt(max(1 - p, 0.0))
    if "scale" in operations:
        factor = 2 ** -_gated(chance, p, chance.normal() * 0.2, 0.0)
        matrix = matrix @ _scaling(factor, factor)
    if "rotate" in operations:
        matrix = matrix @ _turning(_gated(chance, p_turn, (chance.uniform() * 2 - 1) * math.pi, 0.0))
    if "aniso" in operations:
        factor = 2 ** -_gated(chance, p, chance.normal() * 0.2, 0.0)
        matrix = matrix @ _scaling(factor, 1 / factor)
    if "rotate" in operations:
        matrix = matrix @ _turning(_gated(chance, p_turn, (chance.uniform() * 2 - 1) * math.pi, 0.0))
    if "xfrac" in operations:
        gate = chance.gate(p)
        shift_x, shift_y = (chance.normal() * 0.125 for _ in range(2))
        matrix = matrix @ _shifting(-shift_x * width * gate, -shift_y * height * gate)
    return matrix


def _colour(chance: Chance, operations: Sequence[str], p: float) -> Tensor:
    num = len(chance.uniform())
    linear, offset = torch.eye(3).repeat(num, 1, 1), torch.zeros(num, 3, 1)
    grey = torch.full((3, 3), 1 / 3)  # projection on the axis of equal red, green and blue
    steps: list[Tensor] = []
    if "brightness" in operations:
        offset = offset + _gated(chance, p, chance.normal() * 0.2, 0.0).view(-1, 1, 1)
    if "contrast" in operations:
        steps.append(torch.eye(3) * (2 ** _gated(chance, p, chance.normal() * 0.5, 0.0)).view(-1, 1, 1))
    if "lumaflip" in operations:
        steps.append(torch.eye(3) - 2 * grey * _gated(chance, p, (chance.uniform() * 2).floor(), 0.0).view(-1, 1, 1))
    if "hue" in operations:
        steps.append(_hue_turning(_gated(chance, p, (chance.uniform() * 2 - 1) * math.pi, 0.0)))
    if "saturation" in operations:
        steps.append(grey + (torch.eye(3) - grey) * (2 ** _gated(chance, p, chance.normal(), 0.0)).view(-1, 1, 1))
    for step in steps:
        linear, offset = step @ linear, step @ offset
    return torch.cat((linear, offset), dim=2)


def _band_gains(chance: Chance, p: float) -> Tensor:
    power = torch.tensor(_BAND_POWER)
    total = torch.ones(len(chance.uniform()), NUM_BANDS)
    for band in range(NUM_BANDS):
        gains = torch.ones_like(total)
        gains[:, band] = 2 ** _gated(chance, p, chance.normal(), 0.0)
        total = total * gains / (power * gains.square()).sum(dim=1, keepdim=True).sqrt()
    return total


def _stain(chance: Chance, p: float) -> tuple[Tensor, Tensor]:
    """Gains about 1 and offsets about 0 of three stains, of the images that chance picks; the glass stays about as bright as it was."""
    gate = chance.gate(p)[:, None]
    gain = 2 ** (torch.stack([chance.normal() for _ in range(3)], dim=1) * 0.3)
    offset = torch.stack([chance.normal() for _ in range(3)], dim=1) * 0.02
    return torch.where(gate, gain, torch.ones_like(gain)), torch.where(gate, offset, torch.zeros_like(offset))


def _hole(chance: Chance, p: float) -> Tensor:
    gate = chance.gate(p)
    centre = torch.stack((chance.uniform(), chance.uniform()), dim=1)
    return torch.where(gate[:, None], centre, torch.full_like(centre, math.nan))


def _matrix(rows: Sequence[Sequence[Tensor]]) -> Tensor:
    return torch.stack([torch.stack(list(row), dim=1) for row in rows], dim=1)


def _scaling(x: Tensor, y: Tensor) -> Tensor:
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    return _matrix(((x, zero, zero), (zero, y, zero), (zero, zero, one)))


def _shifting(x: Tensor, y: Tensor) -> Tensor:
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    return _matrix(((one, zero, x), (zero, one, y), (zero, zero, one)))


def _turning(angle: Tensor) -> Tensor:
    cos, sin, zero, one = angle.cos(), angle.sin(), torch.zeros_like(angle), torch.ones_like(angle)
    return _matrix(((cos, -sin, zero), (sin, cos, zero), (zero, zero, one)))


def _hue_turning(angle: Tensor) -> Tensor:
    """Rotation about the grey axis (Rodrigues' formula)."""
    axis = 1 / math.sqrt(3)
    cross = torch.tensor([[0.0, -axis, axis], [axis, 0.0, -axis], [-axis, axis, 0.0]])
    cos, sin = angle.cos().view(-1, 1, 1), angle.sin().view(-1, 1, 1)
    return torch.eye(3) * cos + cross * sin + torch.full((3, 3), 1 / 3) * (1 - cos)
