"""The colour of a slide's empty glass, also where it is darker or more tinted than glass usually is, and what there is to say about it.

`background.white_point` counts light, nearly grey pixels. Where there are next to none, glass is looked for once more by what it is under a bright-field
microscope: even, brighter than everything else, and not strongly coloured. At 8 um/px the slide is cut into blocks of 4 x 4 px; a block that is even (standard
deviation of each channel below 2.5), not dark (every channel above 140) and of no strong tint (channels at most 48 levels apart) may be glass. The brightest
level at which 2 % of the blocks are such, within 6 levels, is that of the glass; unless over 2 % of the blocks are brighter, since glass holds back no light,
or under 60 % of those of its brightness are even, since of textured tissue some blocks are by chance. Where nothing is found the slide is taken to be tissue
throughout, a white is assumed, and that is said.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hdgan.progress import SILENT, Progress, beat
from hdgan.slides.resample import area_resample
from hdgan.tiles.background import ASSUMED_WHITE, OVERVIEW_MPP, light_white

_BLOCK_PX = 4
_MOST_DEVIATION, _DARKEST, _MOST_SPREAD = 2.5, 140, 48
_LEAST_SHARE, _LEAST_EVEN, _WITHIN, _BRIGHTER = 0.02, 0.6, 6, 8.0
_ROWS_AT_ONCE = 128


@dataclass(frozen=True)
class Glass:
    """The white point of a slide."""

    white: np.ndarray
    """uint8 `[3]`."""
    note: str = ""
    """What is to be said about it; nothing where it was found as usual."""


def find_glass(pixels: np.ndarray, *, mpp: float, unseen: np.ndarray | None = None, progress: Progress = SILENT) -> Glass:
    """The glass in the overview `pixels` `[H, W, 3]` uint8 of `mpp` um/px, but for those that are `unseen` `[H, W]` bool, which are 255."""
    white = light_white(pixels, unseen=unseen, progress=progress)
    if white is not None:
        return Glass(white)
    white = _even_white(coarsened(pixels, mpp=mpp), progress)
    if white is not None:
        return Glass(
            white, f"white point {_told(white)}: its glass is darker or more tinted than glass usually is; see what counts as background"
        )
    why = "no glass was found, and it is taken to be tissue throughout"
    return Glass(ASSUMED_WHITE, f"white point assumed ({_told(ASSUMED_WHITE)}): {why}; see what counts as background")


def coarsened(pixels: np.ndarray, *, mpp: float) -> np.ndarray:
    """An overview `[H, W, 3]` uint8 of `mpp` um/px averaged to 8 um/px, or as it is where it is no finer."""
    if mpp >= OVERVIEW_MPP:
        return pixels
    height, width = pixels.shape[:2]
    out_px = (max(1, int(width * mpp / OVERVIEW_MPP)), max(1, int(height * mpp / OVERVIEW_MPP)))
    return area_resample(pixels, box=(0, 0, width, height), out_px=out_px)


def _even_white(pixels: np.ndarray, progress: Progress) -> np.ndarray | None:
    """The colour of the brightest even blocks, uint8 `[3]`; None where they are few or others are brighter."""
    height, width = (edge // _BLOCK_PX * _BLOCK_PX for edge in pixels.shape[:2])
    parts = []
    for top in range(0, height, _ROWS_AT_ONCE):
        beat(progress)
        parts.append(_blocks(pixels[top : min(top + _ROWS_AT_ONCE, height), :width]))
    if not parts:
        return None
    means, is_even, is_scanned = (np.concatenate([part[i] for part in parts]) for i in range(3))
    inner = _inner(is_scanned)
    means, is_even = means[inner], is_even[inner]
    may_be = is_even & (means.min(axis=-1) > _DARKEST) & (np.ptp(means, axis=-1) <= _MOST_SPREAD)
    brightness, least = means.mean(axis=-1), _LEAST_SHARE * len(means)
    counts = np.bincount(brightness[may_be].round().astype(np.intp), minlength=256)
    enough = np.flatnonzero(np.convolve(counts, np.ones(2 * _WITHIN + 1), mode="same") >= max(least, 1))
    if not len(enough):
        return None
    # The brightest window that holds enough reaches beyond the glass; its upper end is that of the glass.
    is_glass = may_be & (brightness > enough[-1] - _WITHIN - 1)
    white = np.quantile(means[is_glass], 0.98, axis=0)
    is_like = np.abs(brightness - np.median(brightness[is_glass])) <= _WITHIN
    if np.count_nonzero(brightness > white.mean() + _BRIGHTER) > least or is_even[is_like].mean() < _LEAST_EVEN:
        return None
    return np.asarray(white.round().astype(np.uint8))


def _blocks(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean `[H, W, 3]` float32 of each block of `rows`, and `[H, W]` bool: whether it is even, and whether it was scanned throughout."""
    height, width = (edge // _BLOCK_PX for edge in rows.shape[:2])
    blocks = rows.reshape(height, _BLOCK_PX, width, _BLOCK_PX, 3)
    exact = blocks.astype(np.float32)
    is_even = (exact.std(axis=(1, 3)) < _MOST_DEVIATION).all(axis=-1)
    return exact.mean(axis=(1, 3)), is_even, (blocks.min(axis=-1) < 255).all(axis=(1, 3))


def _inner(is_scanned: np.ndarray) -> np.ndarray:
    """The blocks whose neighbours were scanned, too: where a scan ends, what was averaged is brighter than glass."""
    padded = np.pad(is_scanned, 1, mode="edge")
    return np.asarray(is_scanned & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:])


def _told(white: np.ndarray) -> str:
    return ", ".join(str(int(level)) for level in white)
