"""The slide's own JPEG tiles, copied and not encoded again: the pixels of the slide, bit by bit, in a tenth of the bytes of PNG.

Possible where the scale asked for is a level of the slide (within the 2 % that count as none) whose TIFF page holds JPEG tiles
that do not overlap, and the corner of a tile lies on that page's grid. Everything else is refused by name. Text inside the streams is not copied.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tifffile

from hdgan.errors import BadInput
from hdgan.slides.protocol import SlideReader
from hdgan.store.jpeg_segments import bare
from hdgan.store.jpeg_tiff import JpegLayout, jpeg_tiff

_REMEDY = 'cut it with format = "jxl" or "png"'
_VENDORS = ("aperio", "generic-tiff", "philips-tiff")
"""Formats whose levels are single tiled pages without overlap, as OpenSlide names them."""
_JPEG = 7
_COLOURS = (2, 6)


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
        raise _refused(slide.path, f"no level has {mpp:g} um/px (they have {scales})", f"ask for one of these scales, or {_REMEDY}")
    level = min(fitting, key=lambda i: abs(slide.levels[i].downsample * slide_mpp / mpp - 1))
    downsample = slide.levels[level].downsample
    if abs(downsample - round(downsample)) > 1e-9:
        raise _refused(slide.path, f"level {level} is {downsample:.5g} times coarser than level 0, which is no whole number")
    if slide.vendor not in _VENDORS:
        raise _refused(slide.path, f"a slide of format {slide.vendor} is not made of JPEG tiles that can be copied")
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


class JpegTiles:
    """The JPEG tiles of the page of a TIFF file that has `size_px` (width, height).

    Raises:
        BadInput: the file has no such page, or its tiles cannot be copied.
    """

    def __init__(self, path: Path, *, size_px: tuple[int, int]) -> None:
        self.path = path
        try:
            self._tiff = tifffile.TiffFile(path)
        except (OSError, ValueError, tifffile.TiffFileError) as error:
            raise _refused(path, f"it is no TIFF file ({error})") from error
        try:
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

    def copy(self, xy: tuple[int, int], *, size_px: int) -> bytes | None:
        """A TIFF of `size_px` x `size_px` px from `xy`, both in px of the page, `xy` on its grid; None where tiles were never scanned.

        Raises:
            BadInput: the file ends before a tile does.
        """
        (width, height), (x, y) = self.layout.tile_px, xy
        assert x % width == 0, "the corner lies on the grid"
        assert y % height == 0, "the corner lies on the grid"
        rows, columns = range(y // height, -(-(y + size_px) // height)), range(x // width, -(-(x + size_px) // width))
        streams = [self._stream(row * self._across + column) for row in rows for column in columns]
        if not all(streams):
            return None
        return jpeg_tiff(streams, size_px=size_px, layout=self.layout)

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
            return bare(data)
        except ValueError as error:
            raise BadInput(self.path, f"JPEG tile {index} {error}", "the file is damaged there: copy it again from its source") from error


def _page(tiff: Any, path: Path, size_px: tuple[int, int]) -> Any:
    pages = [page for page in tiff.pages if page.is_tiled and (page.imagewidth, page.imagelength) == size_px]
    if len(pages) != 1:
        raise _refused(path, f"{len(pages)} of its pages are tiled and have {size_px[0]} x {size_px[1]} px")
    page = pages[0]
    if page.compression != _JPEG:
        name = getattr(page.compression, "name", page.compression)
        raise _refused(path, f"its tiles are stored as {name}, not as JPEG")
    if page.samplesperpixel != 3 or page.bitspersample != 8 or page.planarconfig != 1 or int(page.photometric) not in _COLOURS:
        raise _refused(path, "its JPEG tiles are not 8-bit colour")
    return page


def _layout(page: Any, path: Path) -> JpegLayout:
    def value(name: str) -> Any:
        tag = page.tags.get(name)
        return None if tag is None else tag.value

    try:
        tables = bare(given) if (given := bytes(value("JPEGTables") or b"")) else b""
    except ValueError as error:
        raise _refused(path, f"what they share {error}") from error
    subsampling, black_white, positioning = value("YCbCrSubSampling"), value("ReferenceBlackWhite"), value("YCbCrPositioning")
    return JpegLayout(
        tile_px=(int(page.tilewidth), int(page.tilelength)),
        photometric=int(page.photometric),
        tables=tables,
        subsampling=None if subsampling is None else (int(subsampling[0]), int(subsampling[1])),
        positioning=None if positioning is None else int(positioning),
        black_white=tuple(int(v) for v in black_white) if black_white is not None and len(black_white) == 12 else None,
    )


def _refused(path: Path, why: str, remedy: str = _REMEDY) -> BadInput:
    return BadInput(path, f"its JPEG tiles cannot be copied as they are: {why}", remedy)
