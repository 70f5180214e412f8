"""Voronoi cells of a jittered lattice: the mosaic of tubules, and of capillary loops.

Cells, too, are functions of (key, place), so every window shows the same ones. Arrays of pixels are `[H, W]`, of seeds `[S]`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hdgan.testing.fields import Field, Window, hashed, smooth

_RING = 3
"""Rows of seeds around those of the window: what is measured one cell outside it must see all its neighbours."""
_JITTER = 0.75


@dataclass(frozen=True)
class Cells:
    """The Voronoi cell of every pixel: which one, and how deep inside it."""

    index: NDArray[np.int64]
    """`[H, W]`, of the seed in its `Seeds`."""
    depth_um: Field
    """Half the difference between the distances to the other seeds (a soft minimum, which rounds corners) and to the nearest."""
    dx_um: Field
    dy_um: Field
    """From the cell's seed to the pixel."""


@dataclass(frozen=True)
class Seeds:
    """The seeds whose cells a window shows, and some around them."""

    spacing_um: float
    warp_um: float
    key: int
    first_xy: tuple[int, int]
    """Lattice column and row of the first seed."""
    shape: tuple[int, int]
    """Rows and columns of the lattice."""
    x_um: Field
    y_um: Field
    metric: tuple[Field, Field, Field]
    """Coefficients of dx^2, dx dy, dy^2 in each seed's own (elliptic) squared distance."""
    penalty: Field
    """Added to the squared distance; huge for seeds that are switched off."""
    traits: NDArray[np.float32]
    """`[4, S]`, uniform in 0 to 1, for whatever differs from cell to cell."""

    def cells(self, window: Window) -> Cells:
        """The cell of every pixel of the window that the seeds were made for."""
        x, y = warped(window, self.spacing_um, self.warp_um, self.key)
        index, depth = self.measure(x, y)
        return Cells(index, depth, x - self.x_um[index], y - self.y_um[index])

    def measure(self, x_um: Field, y_um: Field) -> tuple[NDArray[np.int64], Field]:
        """Nearest seed and depth in its cell, at points given in warped coordinates."""
        s = np.float32(self.spacing_um)
        column = np.clip(np.floor(x_um / s).astype(np.int64) - self.first_xy[0], 1, self.shape[1] - 2)
        row = np.clip(np.floor(y_um / s).astype(np.int64) - self.first_xy[1], 1, self.shape[0] - 2)
        base = row * self.shape[1] + column
        xx, xy, yy = self.metric
        nearest = np.full(base.shape, np.inf, np.float32)
        others, index = np.zeros(base.shape, np.float32), base
        for down in (-1, 0, 1):
            for right in (-1, 0, 1):
                j = base + (down * self.shape[1] + right)
                dx, dy = x_um - self.x_um[j], y_um - self.y_um[j]
                q = xx[j] * dx * dx + xy[j] * dx * dy + yy[j] * dy * dy + self.penalty[j]
                others += np.square(np.square(s * s / np.maximum(nearest, q)))
                index = np.where(q < nearest, j, index)
                nearest = np.minimum(nearest, q)
        # The sum of d^-8 over all seeds but the nearest, to the power -1/8, is the distance to the second, less where a third is as near.
        depth = np.float32(0.5) * (s / np.sqrt(np.sqrt(np.sqrt(others))) - np.sqrt(nearest))
        return index, np.asarray(depth, np.float32)

    def reach(self, angle: Field, depth_um: Field) -> Field:
        """How far one can go from each seed in the directions `angle [A, S]` before being less than `depth_um [S]` deep in its cell.

        Found by bisection; 0 where the cell is nowhere as deep, and for the outermost seeds, whose neighbours are not known.
        """
        column, row = np.arange(self.x_um.size) % self.shape[1], np.arange(self.x_um.size) // self.shape[1]
        is_known = (np.minimum(column, self.shape[1] - 1 - column) >= _RING - 1) & (np.minimum(row, self.shape[0] - 1 - row) >= _RING - 1)
        known = np.flatnonzero(is_known & (self.penalty == 0))
        result = np.zeros(angle.shape, np.float32)
        cos, sin = np.cos(angle[:, known]), np.sin(angle[:, known])
        x, y, target = self.x_um[known], self.y_um[known], depth_um[known]
        low = np.zeros(cos.shape, np.float32)
        width = np.float32(0.5 * self.spacing_um)
        for _ in range(8):
            index, depth = self.measure(x + (low + width) * cos, y + (low + width) * sin)
            low += width * ((index == known) & (depth >= target))
            width *= np.float32(0.5)
        result[:, known] = low
        return result


def scatter(window: Window, *, spacing_um: float, key: int, warp_um: float = 0.0, holes: NDArray[np.float64] | None = None) -> Seeds:
    """The seeds of a lattice around `window`; in `holes [K, 3]` (x, y, radius, um) there are none."""
    s = spacing_um
    reach = warp_um / s
    left, right = (int(np.floor(v)) for v in (window.x_um[0] / s - reach, window.x_um[-1] / s + reach))
    top, bottom = (int(np.floor(v)) for v in (window.y_um[0] / s - reach, window.y_um[-1] / s + reach))
    columns = np.arange(left - _RING, right + _RING + 1)[None, :]
    rows = np.arange(top - _RING, bottom + _RING + 1)[:, None]
    draws = [hashed(columns, rows, key + i).ravel() for i in range(8)]
    shape = (rows.size, columns.size)
    x = (np.broadcast_to(columns, shape).ravel() + 0.5 + _JITTER * (draws[0] - 0.5)) * s
    y = (np.broadcast_to(rows, shape).ravel() + 0.5 + _JITTER * (draws[1] - 0.5)) * s
    is_off = np.zeros(x.shape, bool)
    for hole_x, hole_y, radius in holes if holes is not None else ():
        is_off |= np.square(x - hole_x) + np.square(y - hole_y) < radius * radius
    penalty = np.where(is_off, np.float32(100 * s * s), np.float32(0))
    first = (int(columns[0, 0]), int(rows[0, 0]))
    x32, y32 = x.astype(np.float32), y.astype(np.float32)
    return Seeds(s, warp_um, key, first, shape, x32, y32, _metric(draws[2], draws[3]), penalty, np.stack(draws[4:]))


def warped(window: Window, spacing_um: float, warp_um: float, key: int) -> tuple[Field, Field]:
    """Pixel coordinates, gently distorted so that borders of cells bend."""
    x = window.x_um[None, :] + np.float32(warp_um) * smooth(window, 1.3 * spacing_um, key + 11)
    y = window.y_um[:, None] + np.float32(warp_um) * smooth(window, 1.3 * spacing_um, key + 12)
    return np.asarray(x, np.float32), np.asarray(y, np.float32)


def _metric(turn: Field, stretch: Field) -> tuple[Field, Field, Field]:
    """Ellipses of axis ratio 1 to 1.55 in any direction."""
    angle = turn * np.float32(np.pi)
    ratio = np.float32(1) + np.float32(0.55) * stretch
    c, s = np.cos(angle), np.sin(angle)
    return c * c / ratio + s * s * ratio, 2 * c * s * (1 / ratio - ratio), s * s / ratio + c * c * ratio
