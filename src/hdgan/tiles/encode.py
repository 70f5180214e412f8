"""The tiles of a slide as they are stored: read and encoded, or copied as the slide has them.

With `auto` both: every tile is read, and where a copy has the very pixels that were read, it is the copy that is stored. So what is stored is the same,
pixel by pixel and place by place, as with `png`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from hdgan.errors import BadInput
from hdgan.slides.direct import DirectSlide
from hdgan.slides.protocol import SlideReader
from hdgan.store.codec import SUFFIXES, UNDECODABLE, Format, Store, decode, encode
from hdgan.tiles.config import TilesConfig
from hdgan.tiles.plan import SlidePlan
from hdgan.tiles.raw_copy import Copy, JpegTiles

ASKED_FOR = "asked for"
FITS = "all tiles lie on the grid of its JPEG tiles"


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


@dataclass(frozen=True)
class Storing:
    """How the tiles of a slide are stored, but for those that cannot be copied."""

    store: Format
    reason: str
    """Why so: `ASKED_FOR`, `FITS`, or why the slide's JPEG tiles are not copied. Names no file."""


class TileSource(Protocol):
    """Takes tiles out of an open slide."""

    @property
    def storing(self) -> Storing:
        """How they are stored."""

    def take(self, xy: tuple[int, int]) -> TakenTile:
        """The tile with its corner at `xy`, level-0 px.

        Raises:
            BadInput: it cannot be decoded.
        """

    def close(self) -> None:
        """Lets go of what it opened itself; the slide stays open."""


def tile_source(slide: SlideReader, plan: SlidePlan, config: TilesConfig, *, form: Store | None = None) -> TileSource:
    """Where the tiles of a plan come from, to be stored in `form`, that of `config` unless given.

    Raises:
        BadInput: tiles are to be copied (`raw`) and the slide's cannot be.
    """
    form = form or config.format
    about = ReadTiles(slide, level0_px=plan.level0_px, size_px=config.stored_px, jpeg_quality=config.jpeg_quality)
    if form == "auto":
        return _automatic(about, plan)
    if form != "raw":
        return replace(about, storing=Storing(form, ASKED_FOR))
    assert plan.raw_level is not None, "planned for raw copies"
    return CopiedTiles(about, level=plan.raw_level, cells=plan.cells)


def _automatic(about: ReadTiles, plan: SlidePlan) -> TileSource:
    """Copies where the plan has them and the probe passes, else JPEG XL."""
    reason = plan.why_not_copied
    if plan.raw_level is not None:
        try:
            return FaithfulCopies(CopiedTiles(about, level=plan.raw_level, cells=plan.cells))
        except BadInput as error:
            reason = " ".join(error.what.replace(str(about.slide.path), "the slide").split())
    return replace(about, storing=Storing("jxl", reason))


@dataclass(frozen=True)
class ReadTiles:
    """Tiles that are read through the slide's reader and encoded."""

    slide: SlideReader
    level0_px: int
    """Edge, level-0 px."""
    size_px: int
    """Edge as stored."""
    jpeg_quality: int
    storing: Storing = Storing("png", ASKED_FOR)

    def take(self, xy: tuple[int, int]) -> TakenTile:
        """The tile at `xy`; see `TileSource.take`."""
        return TakenTile(self.slide.read(xy, level0_size=self.level0_px, out_px=self.size_px), self.storing.store, self.jpeg_quality)

    def close(self) -> None:
        """Nothing of its own is open."""


class CopiedTiles:
    """Tiles that are copied; what cannot be, because a part was never scanned, is read and stored as PNG.

    Each copy is decoded once: a damaged JPEG stream would otherwise be found by whoever trains.

    Raises:
        BadInput: one JPEG tile that was compared decodes to other pixels than the slide's reader gives.
    """

    storing = Storing("raw", ASKED_FOR)

    def __init__(self, read: ReadTiles, *, level: int, cells: Sequence[tuple[int, int]]) -> None:
        self.read = read
        self._downsample = round(read.slide.levels[level].downsample)
        self._tiles = JpegTiles(read.slide.path, size_px=read.slide.levels[level].size_px)
        try:
            self._probe(cells)
        except BadInput:
            self._tiles.close()
            raise

    def take(self, xy: tuple[int, int]) -> TakenTile:
        """The tile at `xy`; see `TileSource.take`."""
        copied, pixels = self._decoded(xy, self.read.size_px)
        if copied is None:
            return TakenTile(self.read.take(xy).pixels, "png", self.read.jpeg_quality)
        return TakenTile(pixels, "raw", self.read.jpeg_quality, copied.encoded)

    def close(self) -> None:
        """Lets go of the second handle of the slide's file."""
        self._tiles.close()

    def copy(self, xy: tuple[int, int], size_px: int) -> Copy | None:
        """The copy of `size_px` px from `xy` (level-0 px), not decoded; None where a part was never scanned.

        Raises:
            BadInput: what is there is no JPEG tile.
        """
        return self._tiles.copy((xy[0] // self._downsample, xy[1] // self._downsample), size_px=size_px)

    def _decoded(self, xy: tuple[int, int], size_px: int) -> tuple[Copy | None, np.ndarray]:
        """The copy at `xy` and its pixels; None and no pixels where a part was never scanned."""
        copied = self.copy(xy, size_px)
        if copied is None:
            return None, np.empty((0, 0, 3), np.uint8)
        try:
            return copied, decode(copied.encoded, "raw")
        except UNDECODABLE as error:
            what = f"JPEG tiles at x {xy[0]}, y {xy[1]} (level-0 px) cannot be decoded ({error})"
            raise BadInput(self.read.slide.path, what, "the file is damaged there: copy it again from its source") from error

    def _probe(self, cells: Sequence[tuple[int, int]]) -> None:
        """Compares a JPEG tile in the middle of the plan with the reader's pixels; one that is damaged or was never scanned passes to the next."""
        edge = min(*self._tiles.layout.tile_px, self.read.size_px)
        for x, y in (*cells[len(cells) // 2 :], *cells[: len(cells) // 2]):
            try:
                copied, pixels = self._decoded((x, y), edge)
                expected = self.read.slide.read((x, y), level0_size=edge * self._downsample, out_px=edge)
            except BadInput:  # met and recorded again when the cell is cut
                continue
            if copied is None:
                continue
            if not np.array_equal(pixels, expected):
                what = f"its JPEG tiles decode to other pixels than the slide's reader gives (at x {x}, y {y})"
                raise BadInput(self.read.slide.path, what, 'cut it with format = "auto", "jxl" or "png"')
            return


class FaithfulCopies:
    """Tiles that are read, and of which the copy is stored where it has the pixels that were read; the others are stored as JPEG XL.

    What is read, and what cannot be, is that of `ReadTiles`. A copy need not be decoded where the reader has just decoded its very bytes.
    """

    storing = Storing("raw", FITS)

    def __init__(self, copies: CopiedTiles) -> None:
        self._copies = copies
        self._has_decoded = isinstance(copies.read.slide, DirectSlide)

    def take(self, xy: tuple[int, int]) -> TakenTile:
        """The tile at `xy`; see `TileSource.take`."""
        taken = self._copies.read.take(xy)
        try:
            copy = self._copies.copy(xy, self._copies.read.size_px)
        except BadInput:  # what the reader makes of it counts
            copy = None
        if copy is None or not self._is_same(copy, taken.pixels):
            return replace(taken, form="jxl")
        return replace(taken, form="raw", copied=copy.encoded)

    def close(self) -> None:
        """Lets go of the second handle of the slide's file."""
        self._copies.close()

    def _is_same(self, copy: Copy, pixels: np.ndarray) -> bool:
        if self._has_decoded and copy.is_verbatim:
            return True
        try:
            return np.array_equal(decode(copy.encoded, "raw"), pixels)
        except UNDECODABLE:
            return False
