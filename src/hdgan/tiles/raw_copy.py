"""The slide's own JPEG tiles, copied and not encoded again: the pixels of the slide, bit by bit, in a tenth of the bytes of PNG.

Possible where the scale asked for is a level of the slide (within the 2 % that count as none) whose TIFF page holds JPEG tiles
that do not overlap, and the corner of a tile lies on that page's grid. Everything else is refused by name. Text inside the streams is not copied.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tifffile

from hdgan.errors import BadInput
from hdgan.slides.protocol import SlideReader
from hdgan.slides.tiff import unlogged
from hdgan.store.jpeg_segments import BareStreams, bare
from hdgan.store.jpeg_tiff import JpegLayout, jpeg_tiff

MOST_PX = 2
"""Pixels that a copy holds for one of the tile, at most, where nobody asked for copies: beyond that it is mostly waste."""

_REMEDY = 'cut it with format = "jxl" or "png"'
_VENDORS = ("aperio", "generic-tiff", "philips-tiff")
"""Formats whose levels are single tiled pages without overlap, as OpenSlide names them."""
_SHORT_BYTES = 4096
"""Streams of so few bytes hold no tissue; where nothing was scanned they are the same again and again."""
_bare_again = functools.lru_cache(maxsize=16)(bare)
_JPEG = 7
_COLOURS = (2, 6)


class CannotCopyError(BadInput):
    """The JPEG tiles of a slide cannot be copied; `why` says the reason alone, without the file."""

    def __init__(self, path: Path, why: str, remedy: str = _REMEDY) -> None:
        super().__init__(path, f"its JPEG tiles cannot be copied as they are: {why}", remedy)
        self.why = " ".join(why.replace(str(path), "the slide").split())

    def __reduce__(self) -> tuple[type[BadInput], tuple[str, str, str]]:
        """Passes from one process to another as the plain refusal."""
        return (BadInput, (self.where, self.what, self.remedy))


@dataclass(frozen=True)
class RawGrid:
    """Where raw copies of a slide may lie."""

    level: int
    """Level of the slide that is copied from."""
    downsample: int
    """Level-0 px for one of its px."""
    tile_px: tuple[int, int]
    """Width and height of its JPEG tiles, level px."""


def raw_grid(slide: SlideReader, *, slide_mpp: float, mpp: float, tolerance: float) -> RawGrid:
    """The grid of the level of `slide` that has `mpp` (um/px) within `tolerance`, a share.

    Raises:
        BadInput: there is no such level, or it cannot be copied; says why.
    """
    fitting = [i for i, level in enumerate(slide.levels) if abs(level.downsample * slide_mpp / mpp - 1) <= tolerance]
    if not fitting:
        scales = ", ".join(f"{level.downsample * slide_mpp:.4g}" for level in slide.levels)
        raise CannotCopyError(slide.path, f"no level has {mpp:g} um/px (they have {scales})", f"ask for one of these scales, or {_REMEDY}")
    level = min(fitting, key=lambda i: abs(slide.levels[i].downsample * slide_mpp / mpp - 1))
    downsample = slide.levels[level].downsample
    if abs(downsample - round(downsample)) > 1e-9:
        raise CannotCopyError(slide.path, f"level {level} is {downsample:.5g} times coarser than level 0, which is no whole number")
    if slide.vendor not in _VENDORS:
        raise CannotCopyError(slide.path, f"a slide of format {slide.vendor} is not made of JPEG tiles that can be copied")
    with JpegTiles(slide.path, size_px=slide.levels[level].size_px) as tiles:
        return RawGrid(level, round(downsample), tiles.layout.tile_px)


def snapped(cells: Sequence[tuple[int, int]], *, grid: RawGrid, edge_px: int, size_px: tuple[int, int]) -> tuple[tuple[int, int], ...]:
    """The corners moved to the nearest corner of the JPEG grid inside the slide, each once, in their order. All in level-0 px."""
    steps = [tile * grid.downsample for tile in grid.tile_px]
    last = [(size - edge_px) // step for size, step in zip(size_px, steps, strict=True)]
    found: dict[tuple[int, int], None] = {}
    for cell in cells:
        x, y = (min((2 * place + step) // (2 * step), most) * step for place, step, most in zip(cell, steps, last, strict=True))
        found[x, y] = None
    return tuple(found)


def refuse_moved(grid: RawGrid, path: Path, *, cells: Sequence[tuple[int, int]], level0_px: int, size_px: int) -> None:
    """Nothing, where tiles of `size_px` px whose corners are `cells` (edge `level0_px`, both in level-0 px) can be copied as they lie.

    Raises:
        CannotCopyError: they are not pixels of the level, a corner is off the grid, or a copy would be mostly what nobody asked for.
    """
    if level0_px != size_px * grid.downsample:
        what = f"a tile of {size_px} px takes {level0_px} level-0 px, {size_px * grid.downsample} of which are as many px of level {grid.level}"
        raise CannotCopyError(path, what)
    steps = [tile * grid.downsample for tile in grid.tile_px]
    off = next((cell for cell in cells if cell[0] % steps[0] or cell[1] % steps[1]), None)
    if off is not None:
        raise CannotCopyError(path, f"the tile at x {off[0]}, y {off[1]} is not on their grid of {steps[0]} x {steps[1]} level-0 px")
    num_px = math.prod(-(-size_px // tile) * tile for tile in grid.tile_px)
    if num_px > MOST_PX * size_px**2:
        width, height = grid.tile_px
        raise CannotCopyError(path, f"of the JPEG tiles ({width} x {height} px) that {size_px} px touch more than half would be waste")


@dataclass(frozen=True)
class Copy:
    """A tile that was copied."""

    encoded: bytes
    """A TIFF (`hdgan.store.jpeg_tiff`)."""
    is_verbatim: bool
    """Every JPEG stream is the slide's byte for byte: none held text that was left out."""


class JpegTiles:
    """The JPEG tiles of the page of a TIFF file that has `size_px` (width, height).

    Raises:
        BadInput: the file has no such page, or its tiles cannot be copied.
    """

    def __init__(self, path: Path, *, size_px: tuple[int, int]) -> None:
        self.path = path
        self._bare = BareStreams()
        try:
            with unlogged():
                self._tiff = tifffile.TiffFile(path)
        except (OSError, ValueError, tifffile.TiffFileError) as error:
            raise CannotCopyError(path, f"it is no TIFF file ({error})") from error
        try:
            with unlogged():
                self._page = _page(self._tiff, path, size_px)
                self.layout = _layout(self._page, path)
            self._across = -(-size_px[0] // self.layout.tile_px[0])
        except BaseException:
            self._tiff.close()
            raise

    def __enter__(self) -> JpegTiles:
        """Itself; leaving the block closes the file."""
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def copy(self, xy: tuple[int, int], *, size_px: int) -> Copy | None:
        """A TIFF of `size_px` x `size_px` px from `xy`, both in px of the page, `xy` on its grid; None where tiles were never scanned.

        Raises:
            BadInput: the file ends before a tile does.
        """
        (width, height), (x, y) = self.layout.tile_px, xy
        assert x % width == 0, "the corner lies on the grid"
        assert y % height == 0, "the corner lies on the grid"
        rows, columns = range(y // height, -(-(y + size_px) // height)), range(x // width, -(-(x + size_px) // width))
        indices = [row * self._across + column for row in rows for column in columns]
        streams = [self._stream(index) for index in indices]
        if not all(streams):
            return None
        is_verbatim = all(len(stream) == self._page.databytecounts[index] for index, stream in zip(indices, streams, strict=True))
        return Copy(jpeg_tiff(streams, size_px=size_px, layout=self.layout), is_verbatim)

    def close(self) -> None:
        """Lets go of the file."""
        self._tiff.close()

    def _stream(self, index: int) -> bytes:
        offset, num = self._page.dataoffsets[index], self._page.databytecounts[index]
        if not num:
            return b""
        file = self._tiff.filehandle
        file.seek(offset)
        data = bytes(file.read(num))
        if len(data) != num:
            raise BadInput(self.path, f"ends inside JPEG tile {index}", "the file is cut off: copy it again from its source")
        try:
            return _bare_again(data) if num <= _SHORT_BYTES else self._bare(data)
        except ValueError as error:
            raise BadInput(self.path, f"JPEG tile {index} {error}", "the file is damaged there: copy it again from its source") from error


def _page(tiff: Any, path: Path, size_px: tuple[int, int]) -> Any:
    pages = [page for page in tiff.pages if page.is_tiled and (page.imagewidth, page.imagelength) == size_px]
    if len(pages) != 1:
        raise CannotCopyError(path, f"{len(pages)} of its pages are tiled and have {size_px[0]} x {size_px[1]} px")
    page = pages[0]
    if page.compression != _JPEG:
        name = getattr(page.compression, "name", page.compression)
        raise CannotCopyError(path, f"its tiles are stored as {name}, not as JPEG")
    if page.samplesperpixel != 3 or page.bitspersample != 8 or page.planarconfig != 1 or int(page.photometric) not in _COLOURS:
        raise CannotCopyError(path, "its JPEG tiles are not 8-bit colour")
    return page


def _layout(page: Any, path: Path) -> JpegLayout:
    def value(name: str) -> Any:
        tag = page.tags.get(name)
        return None if tag is None else tag.value

    try:
        tables = bare(given) if (given := bytes(value("JPEGTables") or b"")) else b""
    except ValueError as error:
        raise CannotCopyError(path, f"what they share {error}") from error
    subsampling, black_white, positioning = value("YCbCrSubSampling"), value("ReferenceBlackWhite"), value("YCbCrPositioning")
    return JpegLayout(
        tile_px=(int(page.tilewidth), int(page.tilelength)),
        photometric=int(page.photometric),
        tables=tables,
        subsampling=None if subsampling is None else (int(subsampling[0]), int(subsampling[1])),
        positioning=None if positioning is None else int(positioning),
        black_white=tuple(int(v) for v in black_white) if black_white is not None and len(black_white) == 12 else None,
    )
