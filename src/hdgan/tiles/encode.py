"""The tiles of a slide as they are stored: read and encoded, or copied as the slide has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from hdgan.errors import BadInput
from hdgan.slides.protocol import SlideReader
from hdgan.store.codec import SUFFIXES, UNDECODABLE, Format, decode, encode
from hdgan.tiles.config import TilesConfig
from hdgan.tiles.plan import SlidePlan
from hdgan.tiles.raw_copy import JpegTiles


@dataclass(frozen=True)
class TakenTile:
    """A tile in memory."""

    pixels: np.ndarray
    """`[S, S, 3]` uint8."""
    form: Format
    """How it is stored."""
    jpeg_quality: int
    copied: bytes | None = None
    """The bytes to be stored, where they are copied."""

    @property
    def suffix(self) -> str:
        """That of its name in the archive."""
        return SUFFIXES[self.form]

    def encoded(self) -> bytes:
        """The bytes that are stored; of format `none` there are none."""
        return self.copied if self.copied is not None else encode(self.pixels, self.form, jpeg_quality=self.jpeg_quality)


class TileSource(Protocol):
    """Takes tiles out of an open slide."""

    def take(self, xy: tuple[int, int]) -> TakenTile:
        """The tile with its corner at `xy`, level-0 px.

        Raises:
            BadInput: it cannot be decoded.
        """

    def close(self) -> None:
        """Lets go of what it opened itself; the slide stays open."""


def tile_source(slide: SlideReader, plan: SlidePlan, config: TilesConfig, *, form: Format | None = None) -> TileSource:
    """Where the tiles of a plan come from, to be stored in `form`, that of `config` unless given.

    Raises:
        BadInput: tiles are to be copied and the slide's cannot be.
    """
    form = form or config.format
    read = ReadTiles(slide, level0_px=plan.level0_px, size_px=config.stored_px, form=form, jpeg_quality=config.jpeg_quality)
    if form != "raw":
        return read
    assert plan.raw_level is not None, "planned for raw copies"
    return CopiedTiles(read, level=plan.raw_level, cells=plan.cells)


class ReadTiles:
    """Tiles that are read through the slide's reader and encoded."""

    def __init__(self, slide: SlideReader, *, level0_px: int, size_px: int, form: Format, jpeg_quality: int) -> None:
        self.slide = slide
        self.level0_px = level0_px
        self.size_px = size_px
        self.form = form
        self.jpeg_quality = jpeg_quality

    def take(self, xy: tuple[int, int]) -> TakenTile:
        """The tile at `xy`; see `TileSource.take`."""
        return TakenTile(self.slide.read(xy, level0_size=self.level0_px, out_px=self.size_px), self.form, self.jpeg_quality)

    def close(self) -> None:
        """Nothing of its own is open."""


class CopiedTiles:
    """Tiles that are copied; what cannot be, because a part was never scanned, is read and stored as PNG.

    Each copy is decoded once: a damaged JPEG stream would otherwise be found by whoever trains.

    Raises:
        BadInput: one JPEG tile that was compared decodes to other pixels than the slide's reader gives.
    """

    def __init__(self, read: ReadTiles, *, level: int, cells: Sequence[tuple[int, int]]) -> None:
        self._read = read
        self._downsample = round(read.slide.levels[level].downsample)
        self._tiles = JpegTiles(read.slide.path, size_px=read.slide.levels[level].size_px)
        try:
            self._probe(cells)
        except BadInput:
            self._tiles.close()
            raise

    def take(self, xy: tuple[int, int]) -> TakenTile:
        """The tile at `xy`; see `TileSource.take`."""
        copied, pixels = self._copy(xy, self._read.size_px)
        if copied is None:
            return TakenTile(self._read.take(xy).pixels, "png", self._read.jpeg_quality)
        return TakenTile(pixels, "raw", self._read.jpeg_quality, copied)

    def close(self) -> None:
        """Lets go of the second handle of the slide's file."""
        self._tiles.close()

    def _copy(self, xy: tuple[int, int], size_px: int) -> tuple[bytes | None, np.ndarray]:
        """The copy at `xy` and its pixels; None and no pixels where a part was never scanned."""
        copied = self._tiles.copy((xy[0] // self._downsample, xy[1] // self._downsample), size_px=size_px)
        if copied is None:
            return None, np.empty((0, 0, 3), np.uint8)
        try:
            return copied, decode(copied, "raw")
        except UNDECODABLE as error:
            what = f"JPEG tiles at x {xy[0]}, y {xy[1]} (level-0 px) cannot be decoded ({error})"
            raise BadInput(self._read.slide.path, what, "the file is damaged there: copy it again from its source") from error

    def _probe(self, cells: Sequence[tuple[int, int]]) -> None:
        """Compares a JPEG tile in the middle of the plan with the reader's pixels; one that is damaged or was never scanned passes to the next."""
        edge = min(*self._tiles.layout.tile_px, self._read.size_px)
        for x, y in (*cells[len(cells) // 2 :], *cells[: len(cells) // 2]):
            try:
                copied, pixels = self._copy((x, y), edge)
                expected = self._read.slide.read((x, y), level0_size=edge * self._downsample, out_px=edge)
            except BadInput:  # met and recorded again when the cell is cut
                continue
            if copied is None:
                continue
            if not np.array_equal(pixels, expected):
                what = f"its JPEG tiles decode to other pixels than the slide's reader gives (at x {x}, y {y})"
                raise BadInput(self._read.slide.path, what, 'cut it with format = "jxl" or "png"')
            return
