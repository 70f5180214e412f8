"""One slide as `hdgan inspect --pictures` draws it: the slide, what of it is tissue, ink and black, its white point, and the shares."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from hdgan.progress import SILENT, Progress
from hdgan.slides.reader import known_mpp, open_slide
from hdgan.tiles.background import OVERVIEW_MPP, is_background
from hdgan.tiles.config import TilesConfig
from hdgan.tiles.cut import BACKGROUND, BLACK, PEN, UNREADABLE
from hdgan.tiles.glass import find_glass
from hdgan.tiles.overview import Overview, bounded_step, take_overview
from hdgan.tiles.pictures import COLOURS, thumbnail
from hdgan.tiles.scores import is_black, is_pen

_GAP_PX, _HEADER_PX, _LINE_PX = 8, 46, 20
_PAPER, _INK = (255, 255, 255), (40, 40, 40)
_SMALLEST_WIDTH_PX = 480
_FADED = 0.35
"""How much of the slide is left where the second picture says that it is background."""


@dataclass(frozen=True)
class Portrait:
    """A slide at 8 um/px, or at its own scale where that is coarser."""

    picture: np.ndarray
    """`[H, W, 3]` uint8: the slide beside its masks."""
    white: tuple[int, int, int]
    """RGB of its glass."""
    white_note: str
    """What is to be said about it; nothing where it was found as usual."""
    background: float
    """Shares of the slide, 0 to 1."""
    pen: float
    black: float
    unreadable: float


def portray(path: Path, *, mpp: float | None = None, progress: Progress = SILENT) -> Portrait:
    """The portrait of the slide at `path`; `mpp` (um/px of level 0) goes before what the file states.

    Raises:
        BadInput: the slide cannot be opened or has no scale.
    """
    with closing(open_slide(path, mpp_override=mpp)) as slide:
        step_px = bounded_step(max(1.0, OVERVIEW_MPP / known_mpp(slide)), slide.size_px)
        overview = take_overview(slide, step_px=step_px, progress=progress)
        overview_mpp = step_px * known_mpp(slide)
    glass = find_glass(overview.pixels, mpp=overview_mpp, unseen=overview.is_unreadable, progress=progress)
    white = glass.white
    white_distance = float(TilesConfig.model_fields["white_distance"].default)
    masks = {
        BACKGROUND: is_background(overview.pixels, white=white, white_distance=white_distance),
        PEN: is_pen(overview.pixels),
        BLACK: is_black(overview.pixels),
        UNREADABLE: overview.is_unreadable,
    }
    shares = {name: float(mask.mean()) for name, mask in masks.items()}
    levels = (int(white[0]), int(white[1]), int(white[2]))
    picture = _beside(overview, masks, shares, levels)
    return Portrait(picture, levels, glass.note, shares[BACKGROUND], shares[PEN], shares[BLACK], shares[UNREADABLE])


def _beside(overview: Overview, masks: dict[str, np.ndarray], shares: dict[str, float], white: tuple[int, int, int]) -> np.ndarray:
    """The slide, the slide with its background faded and the rest of the masks in colour, and a header of text."""
    marked = overview.pixels.copy()
    empty = masks[BACKGROUND]
    grey = np.array(COLOURS[BACKGROUND], np.float32)
    marked[empty] = (_FADED * marked[empty] + (1 - _FADED) * grey).astype(np.uint8)
    for name in (PEN, BLACK):
        marked[masks[name]] = COLOURS[name]
    left = Image.fromarray(thumbnail(overview))
    right = Image.fromarray(thumbnail(Overview(marked, overview.step_px, overview.is_unreadable)))
    width = max(_SMALLEST_WIDTH_PX, 2 * left.width + 3 * _GAP_PX)
    sheet = Image.new("RGB", (width, _HEADER_PX + left.height + _GAP_PX), _PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    draw.rectangle((_GAP_PX, _GAP_PX, _GAP_PX + 14, _GAP_PX + 14), fill=white, outline=_INK)
    draw.text((_GAP_PX + 22, 5), f"white point {white[0]}, {white[1]}, {white[2]}", fill=_INK, font=font)
    told = [f"{name} {share:.1%}" for name, share in shares.items() if share or name == BACKGROUND]
    draw.text((_GAP_PX, 5 + _LINE_PX), f"{', '.join(told)}; right: background grey", fill=_INK, font=font)
    sheet.paste(left, (_GAP_PX, _HEADER_PX))
    sheet.paste(right, (2 * _GAP_PX + left.width, _HEADER_PX))
    return np.asarray(sheet)
