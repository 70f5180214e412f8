"""Whether a tile that was decoded without an error looks like its place on the slide: what it shows is compared with the overview.

Decoders and scanners can give blank or foreign pixels without a word. A tile is compared with the overview in blocks of 8 overview px, so that one wrong JPEG
tile shows in a large tile. Other levels of a slide may be sharpened, blurred, a little shifted or of another gamma, which hardly moves the mean of a block;
`benchmarks/tiles/disagreement.py` measures by how much. Where tile and overview come from the same damaged level both are wrong, and nothing is seen.
"""

from __future__ import annotations

import math

import numpy as np

from hdgan.slides.resample import area_resample, sampled_blocks
from hdgan.tiles.overview import Overview

BLOCK_PX = 8
"""Edge of a block, overview px."""
BLANK_SPREAD = 1
"""A block whose levels differ by no more is blank."""
BLANK_GAP = 32.0
"""Grey levels by which a blank block may differ from the overview: where the edge of what was scanned lies a pixel off, it does so by up to 25."""
BLANK_TILE_GAP = 8.0
"""Grey levels by which half the blocks of a tile that is all blank may differ."""


def suspicion(pixels: np.ndarray, overview: Overview, xy: tuple[int, int], *, level0_px: int, most: float) -> tuple[str, str] | None:
    """What is suspect (`blank` or `disagrees`) and a line on it; None where tile and overview agree.

    `pixels` `[S, S, 3]` uint8 is the tile at `xy` of `level0_px` (both level-0 px). It disagrees where the mean of a block differs by more than
    `most` grey levels in a channel.
    """
    gap, is_blank = block_gaps(pixels, overview, xy, level0_px=level0_px)
    blank = np.where(is_blank, gap, 0)
    if blank.max() > BLANK_GAP or (is_blank.all() and np.median(gap) > BLANK_TILE_GAP):
        return "blank", f"reads as one colour {_place(blank, xy, level0_px)}, where the overview differs by {blank.max():.0f} grey levels"
    if gap.max() > most:
        return "disagrees", f"differs from the overview by {gap.max():.0f} grey levels {_place(gap, xy, level0_px)}"
    return None


def block_gaps(pixels: np.ndarray, overview: Overview, xy: tuple[int, int], *, level0_px: int) -> tuple[np.ndarray, np.ndarray]:
    """By how many grey levels the mean of each block differs from the overview in the worst channel, float64 `[N, N]`, and whether the
    block is blank, bool `[N, N]`. See `suspicion`.
    """
    height, width = overview.pixels.shape[:2]
    box = [
        min(edge / overview.step_px, float(most))
        for edge, most in zip((*xy, xy[0] + level0_px, xy[1] + level0_px), (width, height) * 2, strict=True)
    ]
    left, top = (min(math.floor(edge), most - 1) for edge, most in ((box[0], width), (box[1], height)))
    part = overview.pixels[top : math.ceil(box[3]), left : math.ceil(box[2])]
    inner = (box[0] - left, box[1] - top, box[2] - left, box[3] - top)
    num = max(1, min(int(min(inner[2] - inner[0], inner[3] - inner[1]) / BLOCK_PX), len(pixels)))
    means, spread = sampled_blocks(pixels, num)
    expected = area_resample(part, box=inner, out_px=(num, num))
    return np.abs(means - expected).max(axis=-1), spread.max(axis=-1) <= BLANK_SPREAD


def _place(gaps: np.ndarray, xy: tuple[int, int], level0_px: int) -> str:
    row, column = np.unravel_index(int(gaps.argmax()), gaps.shape)
    edge = level0_px / len(gaps)
    return f"at x {round(xy[0] + column * edge)}, y {round(xy[1] + row * edge)} (level-0 px)"
