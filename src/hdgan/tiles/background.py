"""How much of a tile is background, without knowing the stain.

The rule: a pixel of a low-resolution overview is background when its colour is within `white_distance` (CIE 1976, in
CIELAB under D65) of the *slide's own white point*, brighter pixels counting as equally bright; pixels that are black and
colourless (areas never scanned, in some formats) count too. No saturation is asked for: a saturation threshold deletes
silver stains and pale tissue. Where a `min_density` is given, it asks for the length of the optical density (log10 of white
over level, three channels) instead: of what is grey and pale that finds more, and takes no more glass for tissue (benchmarks/tiles/scores.py).

The white point is the 98th percentile, per channel, of the pixels that are light
(every channel > 190) and nearly grey (spread < 30) but not exactly (255, 255, 255), which scanners and readers
write where there is no scan; where under 0.2 % of a slide is like that `glass.py` looks for darker and tinted glass, or else (240, 240, 240)
is assumed.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator

import numpy as np

from hdgan.progress import SILENT, Progress, beat

OVERVIEW_MPP = 8.0
"""Scale of the overview at large tiles, um/px; small tiles get a finer one."""

ASSUMED_WHITE = np.array([240, 240, 240], np.uint8)
"""That of a slide on which none is found."""
_OVERVIEW_PX_PER_TILE = 64
_ROWS_AT_ONCE = 128
_PX_AT_ONCE = 1 << 18
"""Of a large overview: numbers in Lab take 24 bytes each, several times."""
_COUNTED_BOXES, _COUNTED_TIMES, _COUNTED_PX = 1000, 4, 1 << 20
"""Boxes, how often all pixels, and pixels, that are counted box by box: a twentieth of the time of sums over the whole."""

# sRGB (IEC 61966-2-1) to XYZ, and the D65 white.
_XYZ = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]])
_D65 = np.array([0.95047, 1.0, 1.08883])


def overview_mpp(tile_um: float, *, slide_mpp: float) -> float:
    """Scale of the overview, um/px: 64 px across a tile, at most 8 um/px, never finer than the slide."""
    return max(min(OVERVIEW_MPP, tile_um / _OVERVIEW_PX_PER_TILE), slide_mpp)


def white_point(pixels: np.ndarray) -> np.ndarray:
    """The colour of empty glass, `[3]` uint8, in the pixels `[H, ..., 3]` uint8 of a slide; `ASSUMED_WHITE` where they show none."""
    white = light_white(pixels)
    return ASSUMED_WHITE if white is None else white


def light_white(pixels: np.ndarray, *, unseen: np.ndarray | None = None, progress: Progress = SILENT) -> np.ndarray | None:
    """The white point of the light, nearly grey pixels, uint8 `[3]`; None where there are next to none. Pixels that are `unseen` `[H, ...]`
    bool do not count.
    """
    counts, num_seen = np.zeros((3, 256), np.int64), 0
    for rows in bands(len(pixels), width=math.prod(pixels.shape[1:-1])):  # what is counted takes eight times the bytes of the pixels
        beat(progress)
        band = pixels[rows]
        if unseen is not None and unseen[rows].any():
            band = band[~unseen[rows]]
        red, green, blue = (band[..., channel] for channel in range(3))
        darkest = np.minimum(np.minimum(red, green), blue)
        spread = np.maximum(np.maximum(red, green), blue) - darkest
        is_light = (darkest > 190) & (spread < 30) & (darkest < 255)
        counts += [np.bincount(channel[is_light], minlength=256) for channel in (red, green, blue)]
        num_seen += darkest.size
    if counts[0].sum() <= 0.002 * num_seen:
        return None
    return np.array([level_below(of, 0.98) for of in counts]).round().astype(np.uint8)


def extremes(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The largest and the smallest level of each pixel, `[...]` of pixels `[..., 3]`. One channel after the other: numpy is slow along an axis of three."""
    red, green, blue = (pixels[..., channel] for channel in range(3))
    return np.maximum(np.maximum(red, green), blue), np.minimum(np.minimum(red, green), blue)


def bands(height: int, *, width: int) -> Iterator[slice]:
    """The rows of an overview of `width` px in parts that are worked on one after the other, so that memory beside it does not grow with it."""
    num_rows = max(1, _PX_AT_ONCE // max(1, width))
    return (slice(top, min(top + num_rows, height)) for top in range(0, height, num_rows))


def level_below(counts: np.ndarray, share: float) -> float:
    """The grey level below which `share` of them lie, `counts` [256] of each: what `np.quantile` says of them, without sorting them."""
    place = (int(counts.sum()) - 1) * share
    upto = np.cumsum(counts)
    low, high = (int(np.searchsorted(upto, rank, side="right")) for rank in (math.floor(place), math.ceil(place)))
    weight = place - math.floor(place)
    return high - (high - low) * (1 - weight) if weight >= 0.5 else low + (high - low) * weight


def is_background(pixels: np.ndarray, *, white: np.ndarray, white_distance: float, min_density: float | None = None) -> np.ndarray:
    """`[H, W]` bool for pixels `[H, W, 3]` uint8; `white` is `[3]` uint8. With `min_density` that counts, and `white_distance` does not.

    Equal to `is_background_plain`, and cheaper where most pixels are glass: levels all within a few of the white's are not converted.
    """
    reach = _sure_reach(tuple(int(level) for level in white), white_distance, min_density)
    low, high = (np.clip(white.astype(np.int16) + sign * reach, 0, 255).astype(np.uint8) for sign in (-1, 1))
    mask = np.ones(pixels.shape[:2], bool)
    for channel in range(3):  # one after the other: numpy is slow along an axis of three
        mask &= (pixels[..., channel] >= low[channel]) & (pixels[..., channel] <= high[channel])
    for top in range(0, len(pixels), _ROWS_AT_ONCE):  # Lab takes 24 times the bytes of the pixels
        rows = mask[top : top + _ROWS_AT_ONCE]
        unsure = ~rows
        others = pixels[top : top + _ROWS_AT_ONCE][unsure]
        rows[unsure] = is_background_plain(others, white=white, white_distance=white_distance, min_density=min_density)
    return mask


def is_background_plain(pixels: np.ndarray, *, white: np.ndarray, white_distance: float, min_density: float | None = None) -> np.ndarray:
    """The rule itself: `[...]` bool for pixels `[..., 3]` uint8."""
    lab = to_lab(pixels)
    if min_density is None:
        away = lab - to_lab(white)
        away[..., 0] = np.minimum(away[..., 0], 0)
        is_empty = np.sqrt((away**2).sum(axis=-1)) < white_distance
    else:
        is_empty = density(pixels, white=white) < min_density
    is_black = (lab[..., 0] < 5) & (np.hypot(lab[..., 1], lab[..., 2]) < 8)
    return np.asarray(is_empty | is_black)


def density(pixels: np.ndarray, *, white: np.ndarray) -> np.ndarray:
    """Length of the optical density against `white` `[3]`, over three channels, float64 `[...]` of pixels `[..., 3]` uint8; brighter is 0."""
    absorbed = np.maximum(np.log10(np.maximum(white, 1) / np.maximum(pixels, 1)), 0)
    return np.asarray(np.sqrt((absorbed**2).sum(axis=-1)))


def to_lab(pixels: np.ndarray) -> np.ndarray:
    """CIELAB `[..., 3]` float64 (L 0 to 100) of sRGB pixels `[..., 3]` uint8 (CIE 15:2004, D65)."""
    linear = _linear_light()[pixels]
    ratio = (linear @ _XYZ.T) / _D65
    f = np.where(ratio > 216 / 24389, np.cbrt(ratio), (24389 / 27 * ratio + 16) / 116)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], axis=-1)


def shares(mask: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Mean of a bool mask `[H, W]` in each box `[N, 4]` (left, top, right, bottom in its px), float64 `[N]`.

    Boxes are clipped to the mask and widened to whole pixels, at least one.
    """
    return shares_of(mask, lambda rows: rows, boxes)


def shares_of(
    pixels: np.ndarray,
    rule: Callable[[np.ndarray], np.ndarray],
    boxes: np.ndarray,
    *,
    margin_px: int = 0,
    progress: Progress = SILENT,
) -> np.ndarray:
    """As `shares` of the mask that `rule` makes of `pixels` `[H, W, ...]`, of which no more than a band of rows is held; each is a sign of life.

    `rule` is given rows of pixels, with `margin_px` more on either side where there are, and gives a bool for each.
    """
    height, width = pixels.shape[:2]
    left, top = (np.clip(np.round(boxes[:, i]).astype(np.intp), 0, edge - 1) for i, edge in ((0, width), (1, height)))
    right, bottom = (np.round(boxes[:, i]).astype(np.intp) for i in (2, 3))
    right, bottom = np.clip(right, left + 1, width), np.clip(bottom, top + 1, height)
    areas = (right - left) * (bottom - top)
    if len(boxes) <= _COUNTED_BOXES and areas.sum() <= _COUNTED_TIMES * height * width and height * width <= _COUNTED_PX:
        mask = rule(pixels)
        edges = zip(*(edge.tolist() for edge in (left, top, right, bottom)), strict=True)
        return np.array([np.count_nonzero(mask[y0:y1, x0:x1]) for x0, y0, x1, y1 in edges], np.int64) / areas
    lines, starts, ends = np.concatenate([top, bottom]), np.tile(left, 2), np.tile(right, 2)
    order = np.argsort(lines, kind="stable")
    in_order = lines[order]
    above = np.zeros(len(lines), np.int64)  # true pixels between the sides of a box, from row 0 to its upper edges, then its lower ones
    sums = np.zeros((next(bands(height, width=width)).stop + 1, width + 1), np.int64)
    for rows in bands(height, width=width):
        beat(progress)
        first, last, start = rows.start, rows.stop, max(0, rows.start - margin_px)
        inner = sums[1 : last - first + 1, 1:]
        np.cumsum(rule(pixels[start : last + margin_px])[first - start : last - start], axis=0, dtype=np.int64, out=inner)
        np.cumsum(inner, axis=1, out=inner)
        inner += sums[0, 1:]
        met = order[slice(*np.searchsorted(in_order, (first, last), side="right"))]
        above[met] = sums[lines[met] - first, ends[met]] - sums[lines[met] - first, starts[met]]
        sums[0] = sums[last - first]
    inside = above[len(boxes) :] - above[: len(boxes)]
    return np.asarray(inside / areas)


@functools.lru_cache(maxsize=64)
def _sure_reach(white: tuple[int, ...], white_distance: float, min_density: float | None) -> int:
    """The largest number of levels, at most 6, by which all channels may differ from `white` so that every such colour is background."""
    levels = np.arange(-6, 7)
    offsets = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(-1, 3)
    colours = np.clip(np.array(white) + offsets, 0, 255).astype(np.uint8)
    is_tissue = ~is_background_plain(colours, white=np.array(white, np.uint8), white_distance=white_distance, min_density=min_density)
    return int(np.abs(offsets[is_tissue]).max(axis=1).min(initial=7)) - 1  # white itself is background: at least 0


@functools.cache
def _linear_light() -> np.ndarray:
    """Linear light, 0 to 1, of each sRGB value, float64 `[256]`."""
    c = np.arange(256) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
