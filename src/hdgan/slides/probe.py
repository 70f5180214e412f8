"""Which reader a slide gets: its tiles are decoded directly where a few regions of every level come out as OpenSlide's, bit for bit.

A place that the direct decoder refuses as damaged, and OpenSlide reads, speaks for the direct one, where it reads others of that level: OpenSlide
does not look at the checksum of deflated tiles.

What is compared stands in the file and not in chance: on each level the tile with most bytes (tissue is what does not
compress), the one in the middle by bytes, the lower right corner with what lies beyond it, and the first tile that is missing. A place that
OpenSlide cannot decode says nothing; a level without any place that it can decode is left to it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hdgan.errors import BadInput
from hdgan.slides.direct import DirectSlide
from hdgan.slides.protocol import SlideReader
from hdgan.slides.pyramid import PyramidSlide
from hdgan.slides.tiff import ContradictionError, TiledLevel, UnsuitedError, tiled_levels

VENDORS = ("aperio", "generic-tiff")
"""Formats whose levels are pages of plain tiles. Others of the TIFF family overlap or move their tiles."""

_EDGE_PX = 96
_BEFORE_PX = 32
"""Regions begin so far before a tile's corner: they touch four tiles."""
_LONGEST_PX = 512
_MOST_KEPT = 4096
_COMPARED: dict[tuple[str, int, int, int], tuple[bool, str]] = {}
"""What came out for files, by path, bytes, time of change and inode."""
_ALIGNED_WITHIN = 1 / 1024
"""Offset, in pixels of the level, below which blending neighbouring pixels changes no 8-bit value."""


def suited(slide: PyramidSlide) -> SlideReader:
    """A direct reader in place of `slide`, which is then closed, if all probed pixels are equal; else `slide`, with the reason.

    Raises:
        BadInput: the header of the file contradicts itself; `slide` is closed.
    """
    try:
        direct = direct_twin(slide)
    except ContradictionError as error:
        slide.close()
        raise BadInput(slide.path, f"has a damaged header: {error}", "copy it again from its source, or leave it out") from error
    except UnsuitedError as error:
        slide.reason = str(error)
        return slide
    is_equal, reason = _known(direct, slide)
    direct.reason = slide.reason = reason
    kept, other = (direct, slide) if is_equal else (slide, direct)
    other.close()
    return kept


def _known(direct: DirectSlide, slide: PyramidSlide) -> tuple[bool, str]:
    """`compare`, once in this process for a file that is not changed: planning, cutting and drawing open each slide."""
    about = slide.path.stat()
    key = (str(slide.path.absolute()), about.st_size, about.st_mtime_ns, about.st_ino)
    if key not in _COMPARED:
        if len(_COMPARED) >= _MOST_KEPT:
            _COMPARED.clear()
        _COMPARED[key] = compare(direct, slide)
    return _COMPARED[key]


def direct_twin(slide: PyramidSlide) -> DirectSlide:
    """The same slide, its tiles to be decoded directly; nothing is compared.

    Raises:
        UnsuitedError: its structure is left to OpenSlide; the text says why.
    """
    if slide.vendor not in VENDORS:
        raise UnsuitedError(f"{slide.vendor} slides are left to OpenSlide")
    tiles = tiled_levels(slide.path, slide.levels)
    if slide.vendor == "aperio" and any((level.counts == 0).any() for level in tiles[1:]):
        raise UnsuitedError("tiles of a coarser level are missing, which OpenSlide makes from the finer one")
    try:
        direct = DirectSlide(
            slide.path,
            levels=slide.levels,
            tiles=tiles,
            mpp=slide.mpp,
            vendor=slide.vendor,
            objective=slide.objective,
            stated_mpp=slide.stated_mpp,
        )
    except BadInput as error:
        # Reasons go into runs, which name no file that a pseudonym stands for.
        raise UnsuitedError("it could not be opened a second time") from error
    slide.gaps = direct.gaps  # so that it need not look for them
    return direct


def compare(direct: DirectSlide, slide: PyramidSlide) -> tuple[bool, str]:
    """Whether every probed region is the same in both, and a line that says what was found."""
    num_places = num_refused = 0
    for level, tiles in enumerate(direct.tiles):
        num_seen, num_here, refused = 0, 0, ""
        for xy, size in _places(tiles, factor=slide.levels[level].downsample):
            try:
                expected = slide.read_level(level, xy, size)
            except BadInput:
                continue
            where = f"at x {xy[0]}, y {xy[1]} of level {level}"
            try:
                found = direct.read_level(level, xy, size)
            except BadInput:
                num_here, refused = num_here + 1, refused or where
                continue
            if not np.array_equal(found, expected):
                difference = int(np.abs(found.astype(np.int16) - expected).max())
                return False, f"direct decoding differs by up to {difference} grey levels {where}"
            num_seen += 1
        if refused and not num_seen:
            return False, f"direct decoding fails {refused}"
        num_refused += num_here
        if not num_seen:
            return False, f"OpenSlide decodes no probed place of level {level}"
        num_places += num_seen
    damaged = f"; {num_refused} more hold damage that OpenSlide does not see" if num_refused else ""
    return True, f"pixels equal to OpenSlide's at {num_places} places on {len(direct.tiles)} levels{damaged}"


def is_aligned(factor: float, xy: tuple[int, int]) -> bool:
    """Whether OpenSlide reads whole pixels at `xy` (px of a level with downsample `factor`): it takes level-0 positions, whole ones."""
    return all(abs(round(place * factor) / factor - place) <= _ALIGNED_WITHIN for place in xy)


def _places(tiles: TiledLevel, *, factor: float) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Upper left corner and size of the probed regions, px of the level, each once."""
    by_bytes = np.lexsort((np.arange(len(tiles.counts)), tiles.counts))
    present = by_bytes[tiles.counts[by_bytes] > 0]
    missing = np.flatnonzero(tiles.counts == 0)[:1]
    indices = [*present[-1:], *present[len(present) // 2 : len(present) // 2 + 1], *missing]
    corners = [(int(index) % tiles.num_across * tiles.tile_px[0], int(index) // tiles.num_across * tiles.tile_px[1]) for index in indices]
    corners.append((tiles.size_px[0] - _BEFORE_PX, tiles.size_px[1] - _BEFORE_PX))
    spans = (tuple(_span(place - _BEFORE_PX, factor) for place in corner) for corner in corners)
    for (x, width), (y, height) in dict.fromkeys(spans):
        yield (x, y), (width, height)


def _span(wanted: int, factor: float) -> tuple[int, int]:
    """Begin and length, px of the level, of a stretch that OpenSlide reads in whole pixels: with that from `wanted`, where this is not too long."""
    if is_aligned(factor, (wanted, wanted)):
        return wanted, _EDGE_PX
    candidates = np.arange(max(wanted, 0) + 1)
    off = np.abs(np.round(candidates * factor) / factor - candidates)
    begin = int(candidates[off <= _ALIGNED_WITHIN][-1])  # 0 is one
    return begin, min(wanted + _EDGE_PX - begin, _LONGEST_PX)
