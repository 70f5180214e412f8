"""Sheets for a person who corrects masks: image, outlines and colours of each sample, enlarged, with coordinates to draw by.

Images uint8 `[H, W, 3]`, masks uint8 `[H, W]`. The coordinates are those of GeoJSON: pixels of the sample from its top-left corner, so the line
at 8 is the left (or upper) edge of pixel 8.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from hdgan.labels import IGNORE, ClassMap
from hdgan.plots.colours import coloured
from hdgan.plots.letters import letters
from hdgan.plots.sheets import contact_sheet

CELL_PX = 384
"""About the edge of one picture on the sheet."""
PER_PAGE = 4
"""Samples on one page."""

_GRID_PX = 8
"""Distance of the grid lines in pixels of the sample, where there is room for their numbers."""
_LEAST_GRID_PX = 32
"""On the sheet."""
_MARGIN_PX, _TITLE_PX, _GAP_PX, _LEGEND_PX = 28, 24, 10, 34
_LETTER_PX = 10
"""Width of a letter in a title, amply."""
_PAPER, _INK = (255, 255, 255), (20, 20, 20)
_LINE_SHARE = 0.35
_BRIGHT = 170
"""Above this mean level a grid line is dark, else light."""


@dataclass(frozen=True)
class Proposal:
    """One sample with the mask that is proposed for it."""

    name: str
    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    remark: str = ""
    """Stands behind the name, such as who proposed."""


def proposal_pages(proposals: Sequence[Proposal], classes: ClassMap, *, per_page: int = PER_PAGE) -> Iterator[NDArray[np.uint8]]:
    """Pages uint8 `[H, W, 3]` of `per_page` samples each, one below the other, under a key of the classes.

    Raises:
        ValueError: there are no samples.
    """
    if not proposals:
        raise ValueError("no sample to show")
    for first in range(0, len(proposals), per_page):
        shown = proposals[first : first + per_page]
        rows = [proposal_row(proposal, classes) for proposal in shown]
        is_partial = any(bool((proposal.mask == IGNORE).any()) for proposal in shown)
        key = _key(classes, width=max(row.shape[1] for row in rows), is_partial=is_partial)
        yield _stacked([key, contact_sheet(rows, columns=1, gap_px=0, background=_PAPER)])


def proposal_row(proposal: Proposal, classes: ClassMap) -> NDArray[np.uint8]:
    """Image, outlines over the image, colours of the mask, side by side, each about 384 px wide by a whole factor, uint8 `[H, W, 3]`."""
    factor = max(1, CELL_PX // max(proposal.image.shape[:2]))
    image, mask = enlarged(proposal.image, factor), enlarged(proposal.mask, factor)
    pictures = [image, outlined(image, mask, classes), coloured(mask, classes)]
    cells = [_with_coordinates(picture, factor) for picture in pictures]
    row = contact_sheet(cells, columns=len(cells), gap_px=_GAP_PX, background=_PAPER)
    title = np.full((_TITLE_PX, row.shape[1], 3), _PAPER, np.uint8)
    sheet = Image.fromarray(_stacked([title, row]))
    words = textwrap.shorten(f"{proposal.name}: {proposal.remark}".rstrip(": "), width=row.shape[1] // _LETTER_PX, placeholder=" ...")
    ImageDraw.Draw(sheet).text((_GAP_PX, 5), words, fill=_INK, font=letters(words, size_px=16))
    return np.asarray(sheet)


def outlined(image: NDArray[np.uint8], mask: NDArray[np.uint8], classes: ClassMap) -> NDArray[np.uint8]:
    """The image with a double line along every edge between two values of `mask`, each side in its own colour behind a black hairline.

    Both sides are coloured, so that a line tells what lies on either side of it; ignored pixels have only the black.
    """
    hair = _near_edge(mask, 1)
    line = _near_edge(mask, 3) & ~hair
    picture = image.copy()
    labelled = line & (mask != IGNORE)
    picture[labelled] = coloured(mask, classes)[labelled]
    picture[hair | (line & ~labelled)] = 0
    return picture


def enlarged(pixels: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """Every pixel as a square of `factor` x `factor`."""
    return pixels.repeat(factor, axis=0).repeat(factor, axis=1)


def grid_step(factor: int) -> int:
    """Pixels of the sample between two grid lines: 8, doubled until the numbers have room."""
    step = _GRID_PX
    while step * factor < _LEAST_GRID_PX:
        step *= 2
    return step


def _near_edge(mask: NDArray[np.uint8], distance_px: int) -> NDArray[np.bool_]:
    """Pixels from which another value is at most `distance_px` away along a row or a column."""
    near = np.zeros(mask.shape, dtype=np.bool_)
    for shift in range(1, distance_px + 1):
        down, right = mask[shift:] != mask[:-shift], mask[:, shift:] != mask[:, :-shift]
        near[shift:] |= down
        near[:-shift] |= down
        near[:, shift:] |= right
        near[:, :-shift] |= right
    return near


def _with_coordinates(picture: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """The picture with grid lines, and their numbers along its upper and left edge; a tick halfway between two lines."""
    height, width = picture.shape[:2]
    step = grid_step(factor) * factor
    lined = picture.copy()
    for axis in (0, 1):
        along = np.moveaxis(lined, axis, 0)
        under = along[step::step].astype(np.float64)
        ink = np.where(under.mean(axis=2, keepdims=True) > _BRIGHT, 0.0, 255.0)
        along[step::step] = np.round(under * (1 - _LINE_SHARE) + ink * _LINE_SHARE)
    cell = np.full((height + _MARGIN_PX, width + _MARGIN_PX, 3), _PAPER, np.uint8)
    cell[_MARGIN_PX:, _MARGIN_PX:] = lined
    sheet = Image.fromarray(cell)
    draw, font = ImageDraw.Draw(sheet), letters("0", size_px=12)
    for size, is_across in ((width, True), (height, False)):
        for at in range(0, size + 1, step // 2):
            length, place = (6, _MARGIN_PX + at) if at % step == 0 else (3, _MARGIN_PX + at)
            draw.line([_xy(place, _MARGIN_PX - length, is_across), _xy(place, _MARGIN_PX - 1, is_across)], fill=_INK)
            if at % step == 0:
                # The number at the far end would be cut off by the edge of the cell, so it ends there.
                anchor = ("rs" if at + 8 > size else "ms") if is_across else ("rb" if at + 8 > size else "rm")
                draw.text(_xy(place, _MARGIN_PX - 8, is_across), str(at // factor), fill=_INK, font=font, anchor=anchor)
    return np.asarray(sheet)


def _xy(along: int, across: int, is_across: bool) -> tuple[int, int]:
    return (along, across) if is_across else (across, along)


def _key(classes: ClassMap, *, width: int, is_partial: bool) -> NDArray[np.uint8]:
    """The colours of the classes with their values and names, `width` px wide; more than fit go to further lines.

    Where a mask `is_partial`, what black stands for comes last.
    """
    entries = [(f"{value} {entry.name}", entry.rgb) for value, entry in enumerate(classes.classes)]
    if is_partial:
        entries.append((f"{IGNORE} not annotated", (0, 0, 0)))
    names = [name for name, _ in entries]
    font = letters("".join(names), size_px=14)
    places, x, y = [], _GAP_PX, 0
    for name in names:
        needed = 24 + int(font.getlength(name)) + 20
        if x + needed > width and x > _GAP_PX:
            x, y = _GAP_PX, y + _LEGEND_PX
        places.append((x, y))
        x += needed
    sheet = Image.new("RGB", (width, y + _LEGEND_PX), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for (name, colour), (left, top) in zip(entries, places, strict=True):
        draw.rectangle([left, top + 9, left + 16, top + 25], fill=colour, outline=_INK)
        draw.text((left + 22, top + 9), name, fill=_INK, font=font)
    return np.asarray(sheet)


def _stacked(bands: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """The bands below each other, from the left."""
    width = max(band.shape[1] for band in bands)
    padded = [np.pad(band, ((0, 0), (0, width - band.shape[1]), (0, 0)), constant_values=255) for band in bands]
    return np.concatenate(padded)
