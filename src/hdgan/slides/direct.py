"""Slides by their own tiles: only the compressed tiles that a region touches are read, decoded and pasted.

The same pixels as OpenSlide's at a part of the work, most of which there goes into compositing (`benchmarks/tiles/reading.py`);
`hdgan.slides.probe` compares the two before this reader is used. Where a level's downsample is no whole number (an odd edge was
halved), OpenSlide blends neighbouring pixels by a fraction of one; here each pixel is the stored one.

A reader may be used by threads and in forked children: bytes are read by position, the cache is locked.
"""

from __future__ import annotations

import math
import os
import sys
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from hdgan.errors import BadInput
from hdgan.slides.codecs import JPEG, DamagedTileError
from hdgan.slides.gaps import find_gaps
from hdgan.slides.jpeg_check import jpeg_complaint
from hdgan.slides.memory import RegionMemory, TileCache
from hdgan.slides.protocol import WHITE, Level, UndecodableRegion, read_scaled
from hdgan.slides.tiff import TiledLevel
from hdgan.types import Mpp

CACHE_BYTES = 48 << 20
"""Decoded tiles kept per reader: those on the lower border of three regions of 4096 px side by side, and more."""


_BLANK_BYTES, _BLANK_ROOM, _MOST_BLANKS = 4096, 1 << 20, 16
"""Compressed tiles of so few bytes hold no tissue, and where nothing was scanned they are the same bytes again and again: so many are kept decoded,
of at most so many bytes each."""


class DirectSlide:
    """A slide whose levels are tiled pages of a TIFF.

    `levels`, `mpp` (level 0, um/px), `vendor` and `objective` are those that OpenSlide states; `tiles` are the tiles of each level.
    """

    reader = "direct"

    def __init__(
        self,
        path: Path,
        *,
        levels: tuple[Level, ...],
        tiles: tuple[TiledLevel, ...],
        mpp: Mpp | None,
        vendor: str,
        objective: float | None = None,
        stated_mpp: Mpp | None = None,
        reason: str = "",
    ) -> None:
        self.stated_mpp = stated_mpp
        self.path, self.levels, self.mpp, self.vendor, self.objective, self.reason = path, levels, mpp, vendor, objective, reason
        self.size_px = levels[0].size_px
        self.tiles = tiles
        self.gaps = find_gaps(levels, tile_px=[level.tile_px for level in tiles], is_stored=[level.is_stored for level in tiles])
        self._file = _File(path)
        self._cache = TileCache(CACHE_BYTES)
        self._regions = RegionMemory()
        self._blanks: dict[tuple[int, bytes], np.ndarray] = {}
        self._complaints: dict[tuple[int, int], str] = {}

    def read(self, xy: tuple[int, int], *, level0_size: int | tuple[int, int], out_px: int | tuple[int, int]) -> np.ndarray:
        """A region at a scale; see `SlideReader.read`."""
        return read_scaled(self.levels, self.read_level, xy, level0_size=level0_size, out_px=out_px, where=self.path)

    def read_level(self, level: int, xy: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
        """The stored pixels of `size` px at `xy`, both in pixels of that level: `[H, W, 3]` uint8, white outside.

        Raises:
            BadInput: a tile cannot be decoded or was lost (`hdgan.slides.gaps`); the reader stays usable.
        """
        try:
            lost = self.gaps[level].told(xy, size)
            if lost:
                raise DamagedTileError(lost)
            return self._assemble(level, xy, size)
        except (DamagedTileError, OSError) as error:
            factor = self.levels[level].downsample
            origin = (round(xy[0] * factor), round(xy[1] * factor))
            raise UndecodableRegion(self.path, reader=self.reader, xy=origin, level=level, size=size, error=error) from error

    def close(self) -> None:
        """Lets go of the file."""
        self._file.close()
        self._cache.clear()
        self._blanks.clear()
        self._regions.clear()

    def complaint(self, level: int, xy: tuple[int, int], size: tuple[int, int]) -> str:
        """What the decoder itself finds wrong with tiles that the region touches (as `read_level` takes it): a line, empty when nothing.

        Only JPEG tiles can be asked; see `hdgan.slides.jpeg_check`. A tile is asked once, however many regions touch it.
        """
        tiles = self.tiles[level]
        if tiles.codec.compression != JPEG:
            return ""
        for index in _touched(tiles, xy, size):
            if (level, index) not in self._complaints:
                self._complaints[level, index] = self._asked(tiles, index)
            if self._complaints[level, index]:
                return f"tile {index}: {self._complaints[level, index]}"
        return ""

    def _asked(self, tiles: TiledLevel, index: int) -> str:
        if int(tiles.counts[index]) == 0:
            return ""
        try:
            data = self._compressed(tiles, index)
        except DamagedTileError as error:
            return str(error)
        return jpeg_complaint(data, tables=tiles.codec.tables, tile_px=tiles.tile_px)

    def _assemble(self, level: int, xy: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
        tiles = self.tiles[level]
        (left, top), (width, height), (tile_width, tile_height) = xy, size, tiles.tile_px
        right, bottom = min(left + width, tiles.size_px[0]), min(top + height, tiles.size_px[1])
        x0, y0 = max(left, 0), max(top, 0)
        region = self._regions.array((height, width, 3))
        if (x0, y0, right, bottom) != (left, top, left + width, top + height):
            region[...] = WHITE
        if right <= x0 or bottom <= y0:
            return region
        scratch = _tile_buffer(tiles)
        edges = ((column, column * tile_width) for column in range(x0 // tile_width, -(-right // tile_width)))
        columns = [(column, max(x0, edge), min(right, edge + tile_width)) for column, edge in edges]
        for row in range(y0 // tile_height, -(-bottom // tile_height)):
            upper, lower = max(y0, row * tile_height), min(bottom, (row + 1) * tile_height)
            band, first = region[upper - top : lower - top], row * tiles.num_across
            for column, start, stop in columns:
                is_whole = stop - start == tile_width and lower - upper == tile_height
                tile = self._tile(level, first + column, scratch if is_whole else None)
                target = band[:, start - left : stop - left]
                if tile is None:
                    target[...] = WHITE
                elif is_whole:
                    target[...] = tile
                else:
                    dy, dx = row * tile_height, column * tile_width
                    target[...] = tile[upper - dy : lower - dy, start - dx : stop - dx]
        return region

    def _tile(self, level: int, index: int, scratch: np.ndarray | None) -> np.ndarray | None:
        """Pixels of a tile, None where the slide has none.

        Without `scratch` to decode into, the tile is kept: the region needs only a part of it, and its neighbour will ask for the rest. Whole
        tiles are not asked for again by a grid.
        """
        kept = self._cache.get((level, index))
        if kept is not None:
            return kept
        tiles = self.tiles[level]
        count = int(tiles.counts[index])
        if count == 0:
            return None
        data = self._compressed(tiles, index)
        is_short = count <= _BLANK_BYTES and math.prod(tiles.tile_shape) <= _BLANK_ROOM
        if is_short and (level, data) in self._blanks:
            return self._blanks[level, data]
        try:
            if scratch is not None and not is_short:
                return tiles.codec.decode(data, out=scratch)
            tile = tiles.codec.decode(data, out=_tile_buffer(tiles))
        except DamagedTileError as error:
            raise DamagedTileError(f"tile {index} {error}") from error
        if is_short and len(self._blanks) < _MOST_BLANKS:
            self._blanks[level, data] = tile
        elif scratch is None:
            self._cache.put((level, index), tile)
        return tile

    def _compressed(self, tiles: TiledLevel, index: int) -> bytes:
        count = int(tiles.counts[index])
        if count > tiles.most_bytes:  # a damaged count would have the whole file read for one tile
            raise DamagedTileError(f"tile {index} is said to take {count} bytes")
        data = self._file.read(int(tiles.offsets[index]), count)
        if data is None:
            raise DamagedTileError(f"the file ends inside tile {index}")
        return data


def _touched(tiles: TiledLevel, xy: tuple[int, int], size: tuple[int, int]) -> Iterator[int]:
    """Indices of the tiles that a region touches, row by row; `xy` and `size` in px of the level."""
    (left, top), (width, height), (tile_width, tile_height) = xy, size, tiles.tile_px
    right, bottom = min(left + width, tiles.size_px[0]), min(top + height, tiles.size_px[1])
    for row in range(max(top, 0) // tile_height, -(-bottom // tile_height)):
        for column in range(max(left, 0) // tile_width, -(-right // tile_width)):
            yield row * tiles.num_across + column


def _tile_buffer(tiles: TiledLevel) -> np.ndarray:
    """Room for one tile, at an odd multiple of 16 bytes.

    libjpeg-turbo writes rows that begin at a multiple of 32 past the processor's caches, which makes decoding a tile and pasting it
    half as expensive again.
    """
    num_bytes = math.prod(tiles.tile_shape)
    room = np.empty(num_bytes + 32, np.uint8)
    start = (16 - room.ctypes.data) % 32
    return room[start : start + num_bytes].reshape(tiles.tile_shape)


class _File:
    """Bytes of a file by position, without a shared file pointer; closed with its last user, as OpenSlide's handles are."""

    def __init__(self, path: Path) -> None:
        try:
            self._descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        except OSError as error:
            raise BadInput(path, f"cannot be read ({error})", "check the path and its permissions") from error
        self.close = weakref.finalize(self, os.close, self._descriptor)
        self._num_bytes = os.fstat(self._descriptor).st_size
        self._lock = threading.Lock()

    def read(self, offset: int, count: int) -> bytes | None:
        """`count` bytes from `offset`, None where the file does not hold them."""
        if not 0 <= offset <= self._num_bytes - count:
            return None
        assert self.close.alive, "the slide is closed"
        data = self._at(offset, count)
        return data if len(data) == count else None

    def _at(self, offset: int, count: int) -> bytes:
        if sys.platform != "win32":
            return os.pread(self._descriptor, count, offset)
        with self._lock:
            os.lseek(self._descriptor, offset, os.SEEK_SET)
            return os.read(self._descriptor, count)
