"""Pixels become polygons that run along pixel edges: filling them again gives the same mask, in every pixel.

One polygon for each 4-connected piece of one class, with its holes, in whole-pixel coordinates. Such polygons are valid for GEOS
and for QuPath, which refuses rings that touch themselves (contours rounded to whole pixels are refused for a third of smooth masks).

Method: around each lattice point only *corners* matter. A quadrant pixel whose two neighbours at the point both differ
has a convex corner there; a quadrant pixel whose two neighbours are of its own piece while the diagonal is not has a concave one.
Walking with the piece on the right-hand side fixes the direction in and out of every corner; along one line, the starts and ends of
the edges of one piece alternate, so sorting pairs them. No step looks at single pixels in Python.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hdgan.optional import ndimage
from hdgan.types import Polygon, Ring

_EAST, _SOUTH, _WEST, _NORTH = range(4)

# Quadrant of the pixel at the lattice point -> (direction in, direction out) of its convex corner, the piece on the right-hand side.
_CONVEX = {"SE": (_NORTH, _EAST), "SW": (_EAST, _SOUTH), "NW": (_SOUTH, _WEST), "NE": (_WEST, _NORTH)}
# Quadrant that is missing from the piece -> (direction in, direction out) of the concave corner.
_CONCAVE = {"SE": (_WEST, _SOUTH), "SW": (_NORTH, _WEST), "NW": (_EAST, _NORTH), "NE": (_SOUTH, _EAST)}
_NEIGHBOURS = {"SE": ("SW", "NE"), "SW": ("SE", "NW"), "NW": ("NE", "SW"), "NE": ("NW", "SE")}
_OPPOSITE = {"SE": "NW", "SW": "NE", "NW": "SE", "NE": "SW"}


@dataclass(frozen=True)
class Piece:
    """One connected piece of a mask: its value, its outline, its number of pixels."""

    value: int
    polygon: Polygon
    num_pixels: int


def trace(mask: NDArray[np.uint8]) -> Iterator[Piece]:
    """The 4-connected pieces of `mask` `[H, W]`, by value and then in reading order of their first pixel.

    Together they cover every pixel once, whatever its value (255 included).
    """
    pieces, values = label_pieces(mask)
    counts = np.bincount(pieces.ravel(), minlength=len(values) + 1)
    rings: dict[int, list[Ring]] = {}
    for piece, ring in _rings(pieces):
        rings.setdefault(piece, []).append(ring)
    for piece, value in enumerate(values, start=1):
        yield Piece(int(value), _polygon(rings[piece]), int(counts[piece]))


def label_pieces(mask: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The number (from 1) of the 4-connected piece of equal value that each pixel is in `[H, W]`, and the value of each piece.

    Raises:
        MissingExtra: scipy is not installed.
    """
    pieces = np.zeros(mask.shape, dtype=np.int64)
    values: list[int] = []
    for value in np.unique(mask):
        inside = mask == value
        numbered, count = ndimage().label(inside)
        pieces[inside] = numbered[inside] + len(values)
        values += [int(value)] * count
    return pieces, np.asarray(values, dtype=np.int64)


@dataclass(frozen=True)
class _Corners:
    """Corners of all pieces, one entry each: piece, lattice point, direction in and out."""

    piece: NDArray[np.int64]
    x: NDArray[np.int64]
    y: NDArray[np.int64]
    into: NDArray[np.int64]
    out: NDArray[np.int64]


def _corners(pieces: NDArray[np.int64]) -> _Corners:
    padded = np.pad(pieces, 1)
    at = {"NW": padded[:-1, :-1], "NE": padded[:-1, 1:], "SW": padded[1:, :-1], "SE": padded[1:, 1:]}
    columns: list[tuple[NDArray[np.int64], ...]] = []
    for quadrant, own in at.items():
        first, second = (at[name] for name in _NEIGHBOURS[quadrant])
        diagonal = at[_OPPOSITE[quadrant]]
        convex = (own != first) & (own != second) & (own > 0)
        columns.append(_entries(own, convex, _CONVEX[quadrant]))
        # Here `quadrant` is the one opposite of the missing pixel.
        concave = (own == first) & (own == second) & (own != diagonal) & (own > 0)
        columns.append(_entries(own, concave, _CONCAVE[_OPPOSITE[quadrant]]))
    return _Corners(*(np.concatenate(parts) for parts in zip(*columns, strict=True)))


def _entries(own: NDArray[np.int64], chosen: NDArray[np.bool_], turn: tuple[int, int]) -> tuple[NDArray[np.int64], ...]:
    y, x = np.nonzero(chosen)
    return own[y, x], x, y, np.full(len(x), turn[0]), np.full(len(x), turn[1])


def _successors(corners: _Corners) -> NDArray[np.int64]:
    """The corner that follows each corner along the outline of its piece."""
    following = np.full(len(corners.piece), -1, dtype=np.int64)
    for direction in (_EAST, _SOUTH, _WEST, _NORTH):
        line, along = (corners.y, corners.x) if direction in (_EAST, _WEST) else (corners.x, corners.y)
        leaving, arriving = (np.nonzero(sense == direction)[0] for sense in (corners.out, corners.into))
        leaving = leaving[np.lexsort((along[leaving], line[leaving], corners.piece[leaving]))]
        arriving = arriving[np.lexsort((along[arriving], line[arriving], corners.piece[arriving]))]
        following[leaving] = arriving
    return following


def _rings(pieces: NDArray[np.int64]) -> Iterator[tuple[int, Ring]]:
    """The simple rings of every piece, shells and holes, each with the number of its piece."""
    corners = _corners(pieces)
    following = _successors(corners).tolist()
    owner, xs, ys = corners.piece.tolist(), corners.x.tolist(), corners.y.tolist()
    seen = bytearray(len(following))
    for start in range(len(following)):
        if seen[start]:
            continue
        points: list[tuple[int, int]] = []
        here = start
        while not seen[here]:
            seen[here] = 1
            points.append((xs[here], ys[here]))
            here = following[here]
        for simple in _split(points):
            yield owner[start], _from_first(simple)


def _split(points: list[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
    """The rings into which a ring falls at points that it passes twice: a shell that touches itself encloses a hole."""
    if len(set(points)) == len(points):
        yield points
        return
    path: list[tuple[int, int]] = []
    place: dict[tuple[int, int], int] = {}
    for point in points:
        if point in place:
            begin = place[point]
            yield path[begin:]
            for dropped in path[begin + 1 :]:
                del place[dropped]
            del path[begin + 1 :]
        else:
            place[point] = len(path)
            path.append(point)
    yield path


def _from_first(points: list[tuple[int, int]]) -> Ring:
    """The ring, begun at its uppermost, leftmost point, so that equal masks give equal text."""
    begin = min(range(len(points)), key=lambda i: (points[i][1], points[i][0]))
    return np.asarray(points[begin:] + points[:begin], dtype=np.float64)


def _polygon(rings: list[Ring]) -> Polygon:
    """The shell (the one ring that runs clockwise on the screen) and its holes in reading order."""
    areas = [signed_area(ring) for ring in rings]
    shells = [ring for ring, area in zip(rings, areas, strict=True) if area > 0]
    assert len(shells) == 1, "a connected piece has one outline"
    holes = sorted((ring for ring, area in zip(rings, areas, strict=True) if area < 0), key=lambda ring: (ring[0, 1], ring[0, 0]))
    return (shells[0], *holes)


def signed_area(ring: Ring) -> float:
    """The area of `ring` in square pixels, above 0 when it runs clockwise on the screen (y down)."""
    x, y = ring.T
    return float(0.5 * np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y))
