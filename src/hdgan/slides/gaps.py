"""Tiles that a coarser level of a slide lacks although a finer level has data there.

A tile may be missing because nothing was scanned there, and then it is white; but the levels of a pyramid show the same, so one that is missing in a
coarser level alone was lost. OpenSlide makes it from the finer level for Aperio's slides, and reads it as white for plain tiled TIFF: tissue would be taken
for glass. Arrays are `[rows, columns]` of tiles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hdgan.slides.protocol import Level
from hdgan.slides.tiff import stored_tiles

VENDORS = ("generic-tiff",)
"""Formats, as OpenSlide names them, of which it reads missing tiles as white and whose levels are single pages."""


@dataclass(frozen=True)
class Gaps:
    """The lost tiles of one level."""

    tile_px: tuple[int, int]
    """Width and height of a tile, px of the level."""
    is_lost: np.ndarray
    """bool."""

    def told(self, xy: tuple[int, int], size: tuple[int, int]) -> str:
        """What is lost of a region, `xy` and `size` in px of the level: a line on its first such tile, empty without any."""
        (x, y), (width, height), (tile_width, tile_height) = xy, size, self.tile_px
        top, left = max(y, 0) // tile_height, max(x, 0) // tile_width
        part = self.is_lost[top : max(-(-(y + height) // tile_height), 0), left : max(-(-(x + width) // tile_width), 0)]
        if not part.any():
            return ""
        row, column = np.argwhere(part)[0]
        return f"tile {(top + row) * self.is_lost.shape[1] + left + column} is missing, and a finer level has data there"


def find_gaps(levels: Sequence[Level], *, tile_px: Sequence[tuple[int, int]], is_stored: Sequence[np.ndarray]) -> tuple[Gaps, ...]:
    """The lost tiles of each level; `tile_px` and `is_stored` (bool) are the tiles of each and whether they have data."""
    found = []
    for level, size_px, stored in zip(levels, tile_px, is_stored, strict=True):
        is_lost = np.zeros_like(stored)
        rows, columns = np.nonzero(~stored)
        for finer, finer_px, finer_stored in zip(levels, tile_px, is_stored, strict=True):
            if len(rows) and finer.downsample < level.downsample:
                left, right = _reach(columns, level, size_px, finer, finer_px, axis=0, num=finer_stored.shape[1])
                top, bottom = _reach(rows, level, size_px, finer, finer_px, axis=1, num=finer_stored.shape[0])
                counted = np.pad(finer_stored.astype(np.int64).cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
                num = counted[bottom, right] - counted[top, right] - counted[bottom, left] + counted[top, left]
                is_lost[rows, columns] |= num > 0
        found.append(Gaps(size_px, is_lost))
    return tuple(found)


def gaps_in(path: Path, levels: Sequence[Level]) -> tuple[Gaps, ...]:
    """The lost tiles of each level of a file, however they are compressed; none where its structure does not say."""
    tiles = stored_tiles(path, levels)
    return find_gaps(levels, tile_px=[size_px for size_px, _ in tiles], is_stored=[stored for _, stored in tiles]) if tiles else ()


def _reach(
    places: np.ndarray, level: Level, tile_px: tuple[int, int], finer: Level, finer_px: tuple[int, int], *, axis: int, num: int
) -> tuple[np.ndarray, np.ndarray]:
    """First and last + 1 of the tiles of a finer level that show what a tile at each of `places` does, but for its outermost pixels, which sizes that
    were rounded may put into the next one. `axis` is 0 for columns; the finer level has `num` of them.
    """
    scale = level.downsample / (finer.downsample * finer_px[axis])
    start = np.floor((places * tile_px[axis] + 1) * scale).astype(np.int64)
    stop = np.ceil((np.minimum((places + 1) * tile_px[axis], level.size_px[axis]) - 1) * scale).astype(np.int64)
    start = np.clip(start, 0, num)
    return start, np.clip(stop, start, num)
