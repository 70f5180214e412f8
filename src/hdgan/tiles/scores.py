"""What else is known of a tile beside its background: marker ink, black, blur, and whether it holds compartments.

Every score is kept (`cells.csv`) and thresholds are applied to the scores, so that others can be weighed without reading a slide. None of
them is learned, and none but background drops a tile unless asked to. Pen and black are shares of an overview. Blur and compartments are measured on the
tile's own pixels, averaged to 2 um/px whatever the tile's scale, so that they do not depend on the level that was read; tiles that are coarser
show neither, and have no such scores. `benchmarks/tiles/scores.py` and `compartments.py` measure all of them.

Pixels are `[H, W, 3]` uint8, grey levels `[H, W]` uint8 (Rec. 601 luma).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

from hdgan.slides.resample import area_resample
from hdgan.tiles.background import extremes, to_lab

DETAIL_MPP = 2.0
"""Scale at which blur and compartments are measured, um/px."""
DETAIL_TOLERANCE = 0.02
DARK_SHARE = 0.2
"""Share of a slide's tissue that counts as dark structure."""

_PEN_CHROMA, _PEN_SPREAD, _PEN_HUES, _PEN_ROUGHNESS = 30.0, 25, (100.0, 300.0), 6
_BLACK_LIGHTNESS, _BLACK_CHROMA = 20.0, 10.0
_BLACK_LEVEL = 64
"""No colour with a channel above this is black."""
_SPOT_PX, _SPOT_DARK, _REGION_PX = 8, 0.15, 64
"""16 um, the share of it that is dark, and 128 um, at `DETAIL_MPP`."""


@dataclass(frozen=True)
class Limits:
    """The thresholds that drop tiles; None drops none. Shares and scores are 0 to 1."""

    max_background: float
    max_pen: float | None = None
    max_black: float | None = None
    max_blur: float | None = None
    min_compartment: float | None = None


@dataclass(frozen=True)
class Detail:
    """The scores of a tile's own pixels."""

    blur: float | None
    """0 (sharp) to 1 (nothing finer than 4 um)."""
    compartment: float | None
    """0 to 1: how much its densest 128 um are filled with dark structure."""


def is_pen(pixels: np.ndarray) -> np.ndarray:
    """`[H, W]` bool of an overview: marker ink, green to blue.

    A pixel is ink when its chroma in Lab is above 30 (and its channels at least 25 levels apart), its hue between 100 and 300 degrees (green, cyan, blue),
    and its grey level within 6 of the mean of its four neighbours: ink is flat where tissue is textured. Red ink is not told from eosin or
    PAS, and dense collagen of a blue or green trichrome can pass for ink: no default threshold is safe for that stain. Black ink counts as black.
    """
    highest, lowest = extremes(pixels)
    is_ink = (highest - lowest >= _PEN_SPREAD) & _is_flat(luma(pixels))
    lab = to_lab(pixels[is_ink])
    hue = np.degrees(np.arctan2(lab[:, 2], lab[:, 1])) % 360
    is_ink[is_ink] = (np.hypot(lab[:, 1], lab[:, 2]) > _PEN_CHROMA) & (hue > _PEN_HUES[0]) & (hue < _PEN_HUES[1])
    return np.asarray(is_ink)


def is_black(pixels: np.ndarray) -> np.ndarray:
    """`[H, W]` bool of an overview: black and colourless (L below 20, chroma below 10): black ink, frames, areas a scanner left blank."""
    is_dark = extremes(pixels)[0] < _BLACK_LEVEL
    lab = to_lab(pixels[is_dark])
    is_dark[is_dark] = (lab[:, 0] < _BLACK_LIGHTNESS) & (np.hypot(lab[:, 1], lab[:, 2]) < _BLACK_CHROMA)
    return np.asarray(is_dark)


def luma(pixels: np.ndarray) -> np.ndarray:
    """Grey levels `[H, W]` uint8."""
    return np.asarray(Image.fromarray(pixels).convert("L"))


def dark_level(counts: np.ndarray) -> int:
    """The grey level up to which the darkest fifth of the slide's own tissue lies: nuclei, in silver and PAS also membranes. 0 without tissue.

    `counts` `[256]` says how many of its pixels have each level.
    """
    return int(np.searchsorted(np.cumsum(counts), DARK_SHARE * counts.sum())) if counts.any() else 0


def has_detail(mpp: float) -> bool:
    """Whether tiles of `mpp` um/px are fine enough for blur and compartments."""
    return mpp <= DETAIL_MPP * (1 + DETAIL_TOLERANCE)


def measure_detail(pixels: np.ndarray, *, mpp: float, dark: int) -> Detail:
    """The scores of a square tile of `mpp` um/px on a slide with the dark level `dark`; both None where it is too coarse."""
    if not has_detail(mpp):
        return Detail(None, None)
    size = len(pixels) if abs(mpp / DETAIL_MPP - 1) <= DETAIL_TOLERANCE else max(1, round(len(pixels) * mpp / DETAIL_MPP))
    grey = luma(area_resample(pixels, box=(0, 0, len(pixels), len(pixels)), out_px=(size, size)))
    return Detail(_rounded(blur_of(grey)), _rounded(compartment_of(grey, dark=dark)))


def blur_of(grey: np.ndarray) -> float | None:
    """Blur of grey levels at 2 um/px, 0 (sharp) to 1 (smooth); None for less than 8 px or no contrast at all.

    With `fine` the root mean square of what 2 x 2 px differ from their mean by, and `coarse` that of 4 x 4 px in blocks of 2 x 2, it is
    2 (1 - fine / coarse) within 0 and 1. A smooth picture has fine / coarse = 1/2, sharp tissue about 1, in every stain: contrast divides out,
    as it does not in the variance of a Laplacian. Glass has little of both and so little weight; noise of the camera makes a tile seem sharper.
    """
    height, width = (edge // 4 * 4 for edge in grey.shape)
    if min(height, width) < 8:
        return None
    exact = grey[:height, :width]
    halves = _summed(exact)
    quarters = _summed(halves)
    squares = [_mean_square(sums) / num**2 for sums, num in ((exact, 1), (halves, 4), (quarters, 16))]
    fine, coarse = squares[0] - squares[1], squares[1] - squares[2]
    if coarse < 0.25:
        return None
    return float(np.clip(2 * (1 - math.sqrt(max(fine, 0.0) / coarse)), 0, 1))


def compartment_of(grey: np.ndarray, *, dark: int) -> float:
    """How far the densest 128 um of grey levels at 2 um/px are filled with dark structure, 0 to 1.

    A spot of 16 um is filled when more than 15 % of it is no lighter than `dark`, the darkest fifth of the slide's own tissue. The score is the largest
    share of filled spots in a square of 128 um that lies in the tile. Tubules have lumens and pale cytoplasm wider than a spot; glomeruli (and
    infiltrates, and small vessels) are full of nuclei and membranes from edge to edge. No hue is used, so no stain is assumed.
    """
    spot = min(_SPOT_PX, *grey.shape)
    filled = _window_sums(grey <= dark, spot) > _SPOT_DARK * spot**2
    window = min(_REGION_PX - _SPOT_PX + 1, *filled.shape)
    return float(_window_sums(filled, window).max() / window**2)


def _is_flat(grey: np.ndarray) -> np.ndarray:
    padded = np.pad(grey, 1, mode="edge").astype(np.int16)
    around = padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:]
    return np.asarray(np.abs(4 * padded[1:-1, 1:-1] - around) < 4 * _PEN_ROUGHNESS)


def _summed(values: np.ndarray) -> np.ndarray:
    """Sums of 2 x 2 of values below 4096, uint16."""
    rows = np.add(values[::2], values[1::2], dtype=np.uint16)
    return np.asarray(rows[:, ::2] + rows[:, 1::2])


def _mean_square(values: np.ndarray) -> float:
    """The mean of the squares of values of at most 16 bits: exact but for one division, and faster than floats or counts of each value."""
    of_rows = np.einsum("ij,ij->i", values, values, dtype=np.uint64, casting="unsafe")  # to 2^32 each: rows of 2^32 values would fit
    return float(int(of_rows.sum())) / values.size


def _window_sums(mask: np.ndarray, edge: int) -> np.ndarray:
    """Number of true values in every `edge` x `edge` window inside `mask`, in the shortest unsigned numbers that hold them."""
    runs = _run_sums(mask.astype(_holding(edge)), edge)
    return _run_sums(runs.swapaxes(0, 1).astype(_holding(edge**2), copy=False), edge).swapaxes(0, 1)


def _holding(most: int) -> type[np.unsignedinteger]:
    """The shortest unsigned numbers that hold `most`."""
    return np.uint8 if most < 1 << 8 else np.uint16 if most < 1 << 16 else np.uint32


def _run_sums(values: np.ndarray, edge: int) -> np.ndarray:
    """Sums of `edge` rows from each on, put together from sums of 1, 2, 4 ... rows: a third of the time of cumulated ones."""
    num, start, length = len(values) - edge + 1, 0, 1
    total = None
    while True:
        if edge & length:
            runs = values[start : start + num]
            total = runs if total is None else total + runs
            start += length
        if 2 * length > edge:
            break
        values = values[:-length] + values[length:]
        length *= 2
    assert total is not None, "the highest bit of `edge` is one"
    return total


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
