"""What every slide reader offers, and the one way in which a region at a scale is read from a pyramid.

Frames: *level 0* is the slide's finest level, in whose pixels every coordinate stands; *level* pixels are those of the
pyramid level that is read; *out* pixels are those asked for. Sizes and positions are `(x, y)` or `(width, height)`,
arrays `[H, W, 3]` uint8 RGB. What lies outside the slide, or was never scanned, is white.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from hdgan.errors import BadInput
from hdgan.slides.resample import area_resample
from hdgan.types import Mpp

WHITE = 255


@dataclass(frozen=True)
class Level:
    """One level of the pyramid."""

    size_px: tuple[int, int]
    """Width and height in pixels of this level."""
    downsample: float
    """Level-0 pixels for one of this level, >= 1."""


class SlideReader(Protocol):
    """An open slide."""

    @property
    def path(self) -> Path:
        """Its file."""

    @property
    def vendor(self) -> str:
        """The format, as OpenSlide names it, or "image" for a plain one."""

    @property
    def size_px(self) -> tuple[int, int]:
        """Width and height of level 0."""

    @property
    def mpp(self) -> Mpp | None:
        """Scale of level 0 in um/px; None when neither file nor caller says it."""

    @property
    def levels(self) -> tuple[Level, ...]:
        """From finest to coarsest."""

    def read(self, xy: tuple[int, int], *, level0_size: int | tuple[int, int], out_px: int | tuple[int, int]) -> np.ndarray:
        """The region at `xy` (level-0 px) of `level0_size` (level-0 px), resampled by area to `out_px`: `[H, W, 3]` uint8.

        It is read from the coarsest level that is at least as fine as asked.

        Raises:
            BadInput: the region cannot be decoded (the reader stays usable), or more pixels are asked for than there are.
        """

    def close(self) -> None:
        """Lets go of the file."""


def pair(size: int | tuple[int, int]) -> tuple[int, int]:
    """`(width, height)` of a size given as one edge or as both."""
    return (size, size) if isinstance(size, int) else size


def best_level(levels: tuple[Level, ...], ratio: float) -> int:
    """Index of the coarsest level whose pixels are no larger than `ratio` level-0 px.

    A level that is too coarse by less than 0.1 % counts: Aperio's levels have downsamples such as 2.0005.
    """
    fitting = [index for index, level in enumerate(levels) if level.downsample <= ratio * 1.001]
    return max(fitting, key=lambda index: levels[index].downsample, default=0)


def read_scaled(
    levels: tuple[Level, ...],
    read_level: Callable[[int, tuple[int, int], tuple[int, int]], np.ndarray],
    xy: tuple[int, int],
    *,
    level0_size: int | tuple[int, int],
    out_px: int | tuple[int, int],
    where: Path,
) -> np.ndarray:
    """The region as `SlideReader.read` gives it, out of `read_level(level, xy_level, size_level)`."""
    (width, height), (out_width, out_height) = pair(level0_size), pair(out_px)
    if min(width, height, out_width, out_height) < 1:
        raise ValueError(f"empty region: {level0_size} level-0 px to {out_px} px")
    ratio = min(width / out_width, height / out_height)
    if ratio < 1:
        raise BadInput(
            where,
            f"{out_width} x {out_height} px asked of {width} x {height} level-0 px",
            "ask for a coarser scale: there is no upsampling",
        )
    level = best_level(levels, ratio)
    downsample = levels[level].downsample
    left, top = xy[0] / downsample, xy[1] / downsample
    right, bottom = left + width / downsample, top + height / downsample
    if abs(right - left - out_width) < 0.5 and abs(bottom - top - out_height) < 0.5:  # the level is the scale: pixels as they are
        return read_level(level, (round(left), round(top)), (out_width, out_height))
    start = (math.floor(left), math.floor(top))
    size = (math.ceil(right) - start[0], math.ceil(bottom) - start[1])
    pixels = read_level(level, start, size)
    return area_resample(pixels, box=(left - start[0], top - start[1], right - start[0], bottom - start[1]), out_px=(out_width, out_height))
