"""Where the compressed tiles of a tiled TIFF lie, level by level as OpenSlide counts them. Pixels are not touched.

Only the pages that are levels are looked at; label, macro and thumbnail pages, and every text field, stay unread by this module's callers.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile

from hdgan.slides.codecs import STORED, Codec
from hdgan.slides.protocol import Level

_BIGGEST_TILE_BYTES = 1 << 26
_SEPARATE = 2


class UnsuitedError(Exception):
    """The file's structure is not one that is read directly; the text says why."""


class ContradictionError(UnsuitedError):
    """The header of the file contradicts itself: no reader can be trusted with it. The text says in what."""


@dataclass(frozen=True)
class TiledLevel:
    """The tiles of one level, row by row."""

    size_px: tuple[int, int]
    """Width and height, pixels of this level."""
    tile_px: tuple[int, int]
    """Width and height of a tile; those at the right and lower edge stick out of the level."""
    offsets: np.ndarray
    """First byte of each tile in the file, int64 `[N]`."""
    counts: np.ndarray
    """Bytes of each tile, int64 `[N]`; 0 where there is none."""
    codec: Codec

    @property
    def num_across(self) -> int:
        """Tiles in a row."""
        return -(-self.size_px[0] // self.tile_px[0])

    @property
    def num_down(self) -> int:
        """Rows of tiles."""
        return -(-self.size_px[1] // self.tile_px[1])

    @property
    def is_stored(self) -> np.ndarray:
        """Whether each tile has data, bool `[rows, columns]`."""
        stored: np.ndarray = self.counts.reshape(self.num_down, self.num_across) > 0
        return stored

    @property
    def most_bytes(self) -> int:
        """What a tile can take at most: no codec makes noise twice as large; headers and tables take no more than the rest."""
        return 2 * 3 * self.tile_px[0] * self.tile_px[1] + (1 << 16)

    @property
    def tile_shape(self) -> tuple[int, int, int]:
        """`[H, W, 3]` of a tile."""
        return (self.tile_px[1], self.tile_px[0], 3)


def tiled_levels(path: Path, levels: Sequence[Level]) -> tuple[TiledLevel, ...]:
    """The tiles of each of `levels`.

    Raises:
        UnsuitedError: a level is no page of its own, or is stored in a way that is left to OpenSlide.
        ContradictionError: a level lists other tiles than its size needs, or none at all.
    """
    try:
        with unlogged(), tifffile.TiffFile(path) as tiff:
            pages = [page for page in tiff.pages if isinstance(page, tifffile.TiffPage) and page.is_tiled]
            for level in levels:
                for page in _pages_of(pages, level):
                    _check(page)
            return tuple(_tiled_level(pages, level) for level in levels)
    except UnsuitedError:
        raise
    except Exception as error:  # a structure that tifffile stumbles over, in whatever way, is OpenSlide's to read
        raise UnsuitedError(f"its structure cannot be read by tifffile ({type(error).__name__})") from error


def stored_tiles(path: Path, levels: Sequence[Level]) -> tuple[tuple[tuple[int, int], np.ndarray], ...]:
    """Width and height of a tile of each of `levels`, and whether each tile has data, bool `[rows, columns]`; nothing for a file of another structure."""
    try:
        with unlogged(), tifffile.TiffFile(path) as tiff:
            pages = [page for page in tiff.pages if isinstance(page, tifffile.TiffPage) and page.is_tiled]
            return tuple(_stored(pages, level) for level in levels)
    except Exception:  # noqa: BLE001 - a structure that tifffile stumbles over, in whatever way, says nothing of its tiles
        return ()


def _stored(pages: Sequence[tifffile.TiffPage], level: Level) -> tuple[tuple[int, int], np.ndarray]:
    (page,) = _pages_of(pages, level)
    tile_px = (int(page.tilewidth), int(page.tilelength))
    across, down = (-(-edge // tile) for edge, tile in zip(level.size_px, tile_px, strict=True))
    planes = (np.array(page.databytecounts) > 0).reshape(-1, down, across)  # of colours, where they are stored apart
    stored: np.ndarray = np.logical_and.reduce(planes, axis=0)
    return tile_px, stored


def _pages_of(pages: Sequence[tifffile.TiffPage], level: Level) -> list[tifffile.TiffPage]:
    return [page for page in pages if (page.imagewidth, page.imagelength) == level.size_px]


def _check(page: tifffile.TiffPage) -> None:
    """Raises `ContradictionError` where the list of tiles does not fit the size: OpenSlide reads white for what is not listed."""
    (width, height), (tile_width, tile_height) = (page.imagewidth, page.imagelength), (page.tilewidth, page.tilelength)
    name = f"level of {width} x {height} px"
    if not tile_width * tile_height:
        raise ContradictionError(f"its {name} has tiles of {tile_width} x {tile_height} px")
    planes = int(page.samplesperpixel) if int(page.planarconfig) == _SEPARATE else 1
    needed = -(-width // tile_width) * -(-height // tile_height) * planes * max(1, int(page.imagedepth))
    listed = {len(page.dataoffsets), len(page.databytecounts)}
    if listed != {needed}:
        raise ContradictionError(f"its {name} lists {min(listed - {needed}):,} tiles, and needs {needed:,}")
    counts = np.array(page.databytecounts)
    if not counts.any():
        raise ContradictionError(f"its {name} has no data at all")
    num_bytes = tile_width * tile_height * int(page.samplesperpixel) // planes * int(page.bitspersample) // 8
    if int(page.compression) == STORED and ((counts != 0) & (counts != num_bytes)).any():
        raise ContradictionError(f"its {name} is said to hold {num_bytes:,} bytes in each tile, and does not")


def _tiled_level(pages: Sequence[tifffile.TiffPage], level: Level) -> TiledLevel:
    width, height = level.size_px
    found = _pages_of(pages, level)
    name = f"level of {width} x {height} px"
    if len(found) != 1:
        raise UnsuitedError(f"its {name} is {len(found)} tiled pages")
    page = found[0]
    codec = Codec(int(page.compression), int(page.photometric), int(page.predictor), page.jpegtables)
    reason = _unlike(page) or codec.unsuited()
    if reason:
        raise UnsuitedError(f"its {name} has {reason}")
    offsets, counts = (np.array(values, np.int64) for values in (page.dataoffsets, page.databytecounts))
    return TiledLevel((width, height), (int(page.tilewidth), int(page.tilelength)), offsets, counts, codec)


def _unlike(page: tifffile.TiffPage) -> str:
    """What is unlike a plain page of 8-bit RGB tiles; empty when nothing is."""
    if (int(page.samplesperpixel), str(page.dtype), int(page.planarconfig), int(page.imagedepth)) != (3, "uint8", 1, 1):
        return "pixels other than three interleaved bytes"
    if int(page.fillorder) != 1 or page.tags.valueof(274, default=1) != 1:
        return "an unusual order of bits or rows"
    num_bytes = 3 * int(page.tilewidth) * int(page.tilelength)
    return "" if 0 < num_bytes <= _BIGGEST_TILE_BYTES else f"tiles of {page.tilewidth} x {page.tilelength} px"


@contextmanager
def unlogged() -> Iterator[None]:
    """Without tifffile's log: its lines quote text fields of the file, which may hold names."""
    logger = logging.getLogger("tifffile")

    def silent(_record: logging.LogRecord) -> bool:
        return False

    logger.addFilter(silent)
    try:
        yield
    finally:
        logger.removeFilter(silent)
