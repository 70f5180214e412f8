"""Polygons become pixels, by one rule: a pixel belongs to a polygon when its *centre* lies inside.

Frame: image pixels, origin at the top-left corner; the pixel of column c and row r covers [c, c + 1] x [r, r + 1] and
has its centre at (c + 0.5, r + 0.5) (QuPath's convention). Rings are float64 `[N, 2]` of `xy` pairs. Inside is even-odd
for each ring; a polygon is its shell without its holes. A centre exactly on an edge goes to the polygon on its right
(or below, on a horizontal edge), so that polygons with a common edge share no pixel and leave none out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hdgan.types import Polygon, Ring

Window = tuple[slice, slice]


def polygon_pixels(polygon: Polygon, *, shape: tuple[int, int]) -> tuple[Window, NDArray[np.bool_]]:
    """The window of an image of `shape` (H, W) that `polygon` can touch, and which of its pixels lie inside.

    What lies outside of the image is cut off; the window is empty when nothing is left.
    """
    window = _window(polygon[0], shape)
    inside = ring_parity(polygon[0], window)
    for hole in polygon[1:]:
        inside &= ~ring_parity(hole, window)
    return window, inside


def fill(polygons: Sequence[Polygon], *, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """The union of `polygons`, bool `[H, W]`."""
    filled = np.zeros(shape, dtype=bool)
    for polygon in polygons:
        window, inside = polygon_pixels(polygon, shape=shape)
        filled[window] |= inside
    return filled


def ring_parity(ring: Ring, window: Window) -> NDArray[np.bool_]:
    """Which pixel centres of `window` lie inside of `ring` by the even-odd rule, bool of the window's shape.

    Every edge crosses the centre line of some rows; a crossing flips all pixels to its right. The flips are counted where they begin
    and summed along the row, so the cost is that of the crossings and of the window, whatever the form of the ring.
    """
    rows, columns = window
    height, width = rows.stop - rows.start, columns.stop - columns.start
    if height <= 0 or width <= 0:
        return np.zeros((max(height, 0), max(width, 0)), dtype=bool)
    a, b = ring, np.roll(ring, -1, axis=0)
    upward = b[:, 1] < a[:, 1]
    # Every edge is taken from its upper to its lower end: two neighbours that share it must meet the very same crossings.
    top, bottom = np.where(upward[:, None], b, a), np.where(upward[:, None], a, b)
    first = np.clip(np.ceil(top[:, 1] - 0.5), rows.start, rows.stop).astype(np.int64)
    end = np.clip(np.ceil(bottom[:, 1] - 0.5), rows.start, rows.stop).astype(np.int64)
    count = np.maximum(end - first, 0)
    edge = np.repeat(np.arange(len(ring)), count)
    row = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count) + first[edge]
    (x0, y0), (x1, y1) = top[edge].T, bottom[edge].T
    crossing = x0 + (row + 0.5 - y0) * ((x1 - x0) / (y1 - y0))
    column = np.clip(np.ceil(crossing - 0.5), columns.start, columns.stop).astype(np.int64)
    flips = np.bincount((row - rows.start) * (width + 1) + (column - columns.start), minlength=height * (width + 1))
    parity: NDArray[np.bool_] = np.bitwise_xor.accumulate((flips & 1).astype(np.uint8).reshape(height, width + 1), axis=1)[:, :width] == 1
    return parity


def _window(ring: Ring, shape: tuple[int, int]) -> Window:
    low = np.clip(np.floor(ring.min(axis=0)), 0, (shape[1], shape[0])).astype(int)
    high = np.clip(np.ceil(ring.max(axis=0)), 0, (shape[1], shape[0])).astype(int)
    return slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0]))
