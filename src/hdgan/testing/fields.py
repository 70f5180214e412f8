"""Random fields on a window of a slide, the same whichever window they are computed on.

A painted slide is rendered in bands, so every random value is a function of (key, place): an integer hash of lattice
coordinates takes the part that a counter plays in `hdgan.randomness` (which makes the keys). Arrays are `[H, W]`;
`_um` are micrometres from the upper left corner of the slide.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdgan.randomness import counter_key

Field = NDArray[np.float32]


@dataclass(frozen=True)
class Window:
    """A rectangle of slide pixels: its upper left corner, its edges, and the scale in um/px."""

    x_px: int
    y_px: int
    width_px: int
    height_px: int
    mpp: float

    @property
    def x_um(self) -> Field:
        """Centres of the columns `[W]`."""
        return ((self.x_px + np.arange(self.width_px) + 0.5) * self.mpp).astype(np.float32)

    @property
    def y_um(self) -> Field:
        """Centres of the rows `[H]`."""
        return ((self.y_px + np.arange(self.height_px) + 0.5) * self.mpp).astype(np.float32)

    def around(self, x_um: float, y_um: float, reach_um: float) -> Window | None:
        """The part of this window within `reach_um` (in x and in y) of a point, or None where they do not meet."""
        left = max(self.x_px, int(np.floor((x_um - reach_um) / self.mpp)))
        top = max(self.y_px, int(np.floor((y_um - reach_um) / self.mpp)))
        right = min(self.x_px + self.width_px, int(np.ceil((x_um + reach_um) / self.mpp)))
        bottom = min(self.y_px + self.height_px, int(np.ceil((y_um + reach_um) / self.mpp)))
        if right <= left or bottom <= top:
            return None
        return Window(left, top, right - left, bottom - top, self.mpp)

    def slices(self, part: Window) -> tuple[slice, slice]:
        """Where `part` lies in an array of this window."""
        y, x = part.y_px - self.y_px, part.x_px - self.x_px
        return slice(y, y + part.height_px), slice(x, x + part.width_px)


def key_of(seed: int, name: str, index: int = 0) -> int:
    """A 32-bit key for one field."""
    return counter_key(seed, name, index) & 0xFFFFFFFF


def hashed(x: NDArray[Any], y: NDArray[Any], key: int) -> Field:
    """Uniform values in 0 to 1 for integer places, broadcast (mixing constants by Wellons, "Prospecting for hash functions", 2018)."""
    h = x.astype(np.uint32) * np.uint32(0x8DA6B343) ^ y.astype(np.uint32) * np.uint32(0xD8163841) ^ np.uint32(key)
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        h = (h ^ (h >> np.uint32(shift))) * np.uint32(factor)
    h ^= h >> np.uint32(16)
    return (h >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)


def grain(window: Window, key: int) -> Field:
    """Independent values of pixels, triangular in -1 to 1."""
    x = np.arange(window.x_px, window.x_px + window.width_px)[None, :]
    y = np.arange(window.y_px, window.y_px + window.height_px)[:, None]
    return hashed(x, y, key) - hashed(x, y, key ^ 0x5BD1E995)


def smooth(window: Window, period_um: float, key: int) -> Field:
    """Value noise in -1 to 1 that varies over `period_um`."""
    ix, fx = _lattice(window.x_um, period_um)
    iy, fy = _lattice(window.y_um, period_um)
    columns, rows = np.arange(ix[0], ix[-1] + 2), np.arange(iy[0], iy[-1] + 2)
    values = hashed(columns[None, :], rows[:, None], key) * np.float32(2) - np.float32(1)
    jx, jy = ix - ix[0], iy - iy[0]
    across = values[:, jx] + (values[:, jx + 1] - values[:, jx]) * fx
    return np.asarray(across[jy] + (across[jy + 1] - across[jy]) * fy[:, None], np.float32)


def specks(window: Window, *, spacing_um: float, radius_um: float, share: float, key: int, warp_um: float = 0.0) -> Field:
    """Coverage in 0 to 1 by small ellipses, at most one in each lattice cell, `share` of the cells having one.

    Ellipses stay inside their cell, so a pixel needs to look at one cell only; `warp_um` bends the lattice where it would show.
    """
    x, y = window.x_um[None, :], window.y_um[:, None]
    if warp_um:
        x, y = (at + np.float32(warp_um) * smooth(window, 2.2 * spacing_um, key + 7 + i) for i, at in enumerate((x, y)))
    ix, iy = _cell(x, spacing_um), _cell(y, spacing_um)
    columns, rows = np.arange(ix.min(), ix.max() + 1), np.arange(iy.min(), iy.max() + 1)
    jx, jy = ix - columns[0], iy - rows[0]
    spread = max(0.0, 1 - 2.6 * radius_um / spacing_um)
    kind = [hashed(columns[None, :], rows[:, None], key + i) for i in range(4)]
    cx = (columns[None, :] + 0.5 + spread * (kind[0] - 0.5)) * np.float32(spacing_um)
    cy = (rows[:, None] + 0.5 + spread * (kind[1] - 0.5)) * np.float32(spacing_um)
    angle = kind[2] * np.float32(np.pi)
    dx, dy = x - cx[jy, jx], y - cy[jy, jx]
    c, s = np.cos(angle)[jy, jx], np.sin(angle)[jy, jx]
    distance = np.sqrt(np.square((dx * c + dy * s) / np.float32(1.3)) + np.square((dy * c - dx * s) * np.float32(1.3)))
    return np.asarray(step(radius_um - distance, window.mpp) * (kind[3] < share)[jy, jx], np.float32)


def step(x: Field, width: float) -> Field:
    """0 below, 1 above zero, with a linear ramp of `width` between: an edge as a pixel of that width sees it."""
    return np.asarray(np.clip(x / np.float32(width) + np.float32(0.5), 0, 1), np.float32)


def texture(window: Window, period_um: float, key: int) -> Field:
    """Two octaves of `smooth`, about -1 to 1 (less of the lattice shows), weaker where a pixel averages over a period."""
    coarse, fine = smooth(window, 1.27 * period_um, key), smooth(window, 0.71 * period_um, key + 1)
    weight = np.float32(min(1.0, period_um / (3 * window.mpp)))
    return np.asarray(weight * (np.float32(0.6) * coarse + np.float32(0.5) * fine), np.float32)


def _lattice(x_um: Field, period_um: float) -> tuple[NDArray[np.int64], Field]:
    """Lattice index and smoothed fraction of each coordinate."""
    index = _cell(x_um, period_um)
    t = (x_um / np.float32(period_um) - index).astype(np.float32)
    return index, t * t * (3 - 2 * t)


def _cell(x_um: Field, period_um: float) -> NDArray[np.int64]:
    return np.asarray(np.floor(x_um / np.float32(period_um)), np.int64)
