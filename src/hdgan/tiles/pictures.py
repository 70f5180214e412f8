"""A slide at low resolution, and its cells drawn over it: what stays with a green outline, what is dropped in the colour of its reason;
outlined regions in the colour of their class.

Pictures are at most 1024 px wide and high, `[H, W, 3]` uint8, overlays `[H, W, 4]` uint8 of the same size, so that a page can show one over the other.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw

from hdgan.progress import SILENT, Progress
from hdgan.slides.regions.read import Outline
from hdgan.slides.resample import area_resample
from hdgan.tiles.cut import BACKGROUND, BLACK, BLUR, COMPARTMENT, KEPT, LEFT_OUT, PEN, SUSPECT, UNREADABLE, Cell
from hdgan.tiles.overview import Overview

LARGEST_PX = 1024

COLOURS = {
    KEPT: (0, 140, 70),
    BACKGROUND: (120, 124, 140),
    PEN: (30, 90, 230),
    BLACK: (0, 0, 0),
    UNREADABLE: (205, 30, 30),
    SUSPECT: (215, 0, 140),
    BLUR: (240, 140, 0),
    COMPARTMENT: (135, 60, 185),
    LEFT_OUT: (0, 150, 165),
}
"""RGB of each verdict."""

_TINT = 90
"""Opacity of a dropped cell, of 255."""
_UNREADABLE_GREY = 128
_OUTLINE_PX = 2
_OUTLINE_COLOURS = ((0, 190, 220), (225, 0, 145), (250, 215, 0), (125, 75, 20), (140, 240, 40), (255, 150, 185), (0, 55, 110))


def thumbnail(overview: Overview) -> np.ndarray:
    """The slide, its longer edge at most 1024 px; grey where it could not be decoded."""
    pixels = overview.pixels
    if overview.is_unreadable.any():  # a copy of the overview may be 201 MB
        pixels = np.where(overview.is_unreadable[..., None], np.uint8(_UNREADABLE_GREY), pixels)
    height, width = pixels.shape[:2]
    scale = min(1.0, LARGEST_PX / max(height, width))
    out_px = (max(1, round(width * scale)), max(1, round(height * scale)))
    return area_resample(pixels, box=(0, 0, width, height), out_px=out_px)


def encoded_overlay(
    cells: Sequence[Cell],
    outlines: Sequence[Outline],
    *,
    slide_px: tuple[int, int],
    picture_px: tuple[int, int],
    drawn_px: float,
    colours: Mapping[str, tuple[int, int, int]],
    progress: Progress = SILENT,
) -> bytes:
    """PNG bytes of a slide's overlay: its cells as `draw_cells` draws them, and its outlines over them."""
    del progress
    overlay = draw_cells(cells, slide_px=slide_px, picture_px=picture_px, drawn_px=drawn_px)
    return encode_overlay(draw_outlines(overlay, outlines, slide_px=slide_px, colours=colours))


def draw_cells(cells: Sequence[Cell], *, slide_px: tuple[int, int], picture_px: tuple[int, int], drawn_px: float) -> np.ndarray:
    """The overlay for a picture of `picture_px` (width, height) of a slide of `slide_px` level-0 px.

    A cell is drawn as the square of `drawn_px` level-0 px in its middle: the step of the grid, where cells overlap.
    """
    overlay = Image.new("RGBA", picture_px, (0, 0, 0, 0))
    draw = ImageDraw.Draw(overlay)
    scale = np.array(picture_px) / np.array(slide_px)
    order = sorted(cells, key=lambda cell: cell.verdict == KEPT)  # outlines of what stays over the tint of its neighbours
    for cell in order:
        middle = np.array([cell.x_px, cell.y_px]) + cell.level0_px / 2
        edge = min(drawn_px, cell.level0_px)
        left, top = (int(at) for at in np.round((middle - edge / 2) * scale))
        right, bottom = (int(at) - 1 for at in np.round((middle + edge / 2) * scale))
        box = (left, top, max(left, right), max(top, bottom))
        rgb = COLOURS.get(cell.verdict, COLOURS[UNREADABLE])
        if cell.verdict == KEPT:
            draw.rectangle(box, outline=(*rgb, 255), width=2 if right - left >= 12 else 1)
        else:
            draw.rectangle(box, fill=(*rgb, _TINT), outline=(*rgb, 150) if right - left >= 6 else None)
    return np.asarray(overlay)


def draw_outlines(
    overlay: np.ndarray, outlines: Sequence[Outline], *, slide_px: tuple[int, int], colours: Mapping[str, tuple[int, int, int]]
) -> np.ndarray:
    """The overlay with the outlines of a slide of `slide_px` level-0 px, holes too, each in the RGB of its class."""
    picture = Image.fromarray(overlay)
    draw = ImageDraw.Draw(picture)
    scale = np.array(picture.size) / np.array(slide_px)
    for outline in outlines:
        shape = outline.shape.simplify(0.5 / float(scale.max()))
        for ring in (shape.exterior, *shape.interiors):
            points = [tuple(at) for at in (np.asarray(ring.coords) * scale).tolist()]
            draw.line(points, fill=(*colours[outline.class_name], 255), width=_OUTLINE_PX)
    return np.asarray(picture)


def outline_colours(names: Iterable[str]) -> dict[str, tuple[int, int, int]]:
    """An RGB for each class of outlines, in the order of their names; with many classes colours come again."""
    return {name: _OUTLINE_COLOURS[index % len(_OUTLINE_COLOURS)] for index, name in enumerate(sorted(set(names)))}


def composed(picture: np.ndarray, overlay: np.ndarray) -> np.ndarray:
    """The picture with the overlay drawn on it."""
    lower = Image.fromarray(picture).convert("RGBA")
    return np.asarray(Image.alpha_composite(lower, Image.fromarray(overlay)).convert("RGB"))


def encode_jpeg(picture: np.ndarray) -> bytes:
    """JPEG bytes; equal pictures give equal bytes."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="JPEG", quality=85)
    return buffer.getvalue()


def encode_overlay(overlay: np.ndarray) -> bytes:
    """PNG bytes; equal overlays give equal bytes."""
    buffer = io.BytesIO()
    Image.fromarray(overlay).save(buffer, format="PNG")
    return buffer.getvalue()
