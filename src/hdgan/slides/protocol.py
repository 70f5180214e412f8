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


@dataclass(frozen=True)
class Box:
    """A rectangle in level-0 px."""

    left: int
    top: int
    width: int
    height: int


class SlideReader(Protocol):
    """An open slide."""

    @property
    def path(self) -> Path:
        """Its file."""

    @property
    def vendor(self) -> str:
        """The format, as OpenSlide names it, or "image" for a plain one."""

    @property
    def reader(self) -> str:
        """What decodes its pixels: "direct", "openslide" or "image"."""

    @property
    def reason(self) -> str:
        """Why that one; empty where there is no other."""

    @property
    def size_px(self) -> tuple[int, int]:
        """Width and height of level 0."""

    @property
    def objective(self) -> float | None:
        """Magnification of the objective of level 0 (40 for x40), None when the file does not say it."""

    @property
    def mpp(self) -> Mpp | None:
        """Scale of level 0 in um/px; None when neither file nor caller says it."""

    @property
    def stated_mpp(self) -> Mpp | None:
        """Scale of level 0 as the file states it, um/px, whatever the caller says; None when it does not."""

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


class UndecodableRegion(BadInput):
    """A region at `xy` (level-0 px) of `size` (px of `level`) that `reader` could not decode; `reason` is what it said, one line."""

    def __init__(self, path: Path, *, reader: str, xy: tuple[int, int], level: int, size: tuple[int, int], error: Exception) -> None:
        self.reader, self.xy, self.level, self.size = reader, xy, level, size
        self.reason = " ".join(str(error).split())
        what = f"region at x {xy[0]}, y {xy[1]} (level-0 px), level {level}, {size[0]} x {size[1]} px cannot be decoded ({reader}: {self.reason})"
        super().__init__(path, what, "the file is damaged there: copy it again from its source")

    def __reduce__(self) -> tuple[type[BadInput], tuple[str, str, str]]:
        """Passes from one process to another as the plain refusal."""
        return (BadInput, (self.where, self.what, self.remedy))


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
    level, start, size = level_region(levels, xy, level0_size=level0_size, out_px=out_px, where=where)
    pixels = read_level(level, start, size)
    downsample = levels[level].downsample
    if _is_scale(downsample, level0_size=(width, height), out_px=(out_width, out_height)):
        return pixels
    left, top = xy[0] / downsample - start[0], xy[1] / downsample - start[1]
    return area_resample(pixels, box=(left, top, left + width / downsample, top + height / downsample), out_px=(out_width, out_height))


def level_region(
    levels: tuple[Level, ...],
    xy: tuple[int, int],
    *,
    level0_size: int | tuple[int, int],
    out_px: int | tuple[int, int],
    where: Path,
) -> tuple[int, tuple[int, int], tuple[int, int]]:
    """The level that a region (as `SlideReader.read` takes it) is read from, and position and size there, in pixels of that level.

    Raises:
        BadInput: more pixels are asked for than there are.
    """
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
    if _is_scale(downsample, level0_size=(width, height), out_px=(out_width, out_height)):
        return level, (round(left), round(top)), (out_width, out_height)
    start = (math.floor(left), math.floor(top))
    return level, start, (math.ceil(left + width / downsample) - start[0], math.ceil(top + height / downsample) - start[1])


def _is_scale(downsample: float, *, level0_size: tuple[int, int], out_px: tuple[int, int]) -> bool:
    """Whether a level is the scale asked for, so that its pixels are taken as they are."""
    return all(abs(size / downsample - out) < 0.5 for size, out in zip(level0_size, out_px, strict=True))
