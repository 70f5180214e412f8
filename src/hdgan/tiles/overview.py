"""A slide at low resolution, in bounded memory and time however large it is said to be and however much of it is damaged.

What cannot be decoded is read from a finer level, and said; it is never filled. What no level gives is marked, and cells there are scored on their own pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from hdgan.errors import BadInput
from hdgan.progress import SILENT, Progress, beat
from hdgan.slides.protocol import SlideReader, UndecodableRegion, best_level
from hdgan.slides.resample import area_resample

MOST_PX = 1 << 26
"""67 million pixels, 201 MB: a larger overview is taken with larger steps."""

_BLOCK_LEVEL_PX = 4096
"""Edge of the largest region that is decoded at once: 64 MB as RGBA."""
_SMALLEST_PX = 16
"""Edge of the smallest block of an overview that is given up for one that cannot be decoded."""
_RESCUED_PX = 128
"""Edge of the largest block that is read from a finer level in place of a damaged one."""
_PATIENCE = 64
"""Blocks lost until the smallest block doubles, and until a level is left for a finer one: a slide that is damaged throughout must end, too."""


@dataclass(frozen=True)
class Lost:
    """A block of a level that could not be decoded."""

    error: UndecodableRegion
    size_px: tuple[int, int]
    """Width and height, level-0 px."""
    made_from: int | None
    """The level that was read there instead; None where none could be."""


@dataclass(frozen=True)
class Overview:
    """A slide at low resolution."""

    pixels: np.ndarray
    """`[H, W, 3]` uint8."""
    step_px: float
    """Level-0 px for one of its pixels."""
    is_unreadable: np.ndarray
    """`[H, W]` bool: could not be decoded. A cell that touches such a pixel is scored on its own pixels."""
    lost: tuple[Lost, ...] = ()
    """What could not be decoded on the way."""
    left_for: int | None = None
    """The finer level that was read in place of the best one, which was damaged throughout."""


def bounded_step(step_px: float, size_px: tuple[int, int]) -> float:
    """`step_px` (level-0 px), or more where a slide of `size_px` would have an overview of more than `MOST_PX`."""
    return max(step_px, math.sqrt(size_px[0] * size_px[1] / MOST_PX))


def take_overview(slide: SlideReader, *, step_px: float, progress: Progress = SILENT) -> Overview:
    """The slide with `step_px` (>= 1) level-0 px in each pixel, read in blocks of bounded memory; each is a sign of life."""
    painter = _Painter(slide, step_px, progress)
    height, width = painter.is_unreadable.shape
    downsample = slide.levels[painter.level].downsample
    block = max(1, int(_BLOCK_LEVEL_PX * downsample / step_px))
    for top in range(0, height, block):
        for left in range(0, width, block):
            painter.fill((left, top, min(left + block, width), min(top + block, height)))
    left_for = None if painter.level == painter.best else painter.level
    return Overview(painter.pixels, step_px, painter.is_unreadable, tuple(painter.lost), left_for)


@dataclass
class _Painter:
    """An overview in the making. Boxes are (left, top, right, bottom) in its px."""

    slide: SlideReader
    step_px: float
    progress: Progress = SILENT
    lost: list[Lost] = field(default_factory=list)

    def __post_init__(self) -> None:
        width, height = (max(1, int(edge / self.step_px)) for edge in self.slide.size_px)
        self.pixels = np.full((height, width, 3), 255, np.uint8)
        self.is_unreadable = np.zeros((height, width), bool)
        self.best = self.level = best_level(self.slide.levels, self.step_px)

    def fill(self, box: tuple[int, int, int, int]) -> None:
        """Reads a block; where that fails its quarters, down to the smallest block, which is read from a finer level."""
        beat(self.progress)
        left, top, right, bottom = box
        smallest = _SMALLEST_PX << min(len(self.lost) // _PATIENCE, 24)
        try:
            if self._fits(self.level, box):
                self._paint(self.level, box)
                return
        except UndecodableRegion as error:
            edge = max(right - left, bottom - top)
            if edge <= max(smallest, _RESCUED_PX) and self._is_rescued(box, error):
                return
            if edge <= smallest:
                self._give_up(box, error)
                return
        across, down = (left + right + 1) // 2, (top + bottom + 1) // 2
        for part in ((left, top, across, down), (across, top, right, down), (left, down, across, bottom), (across, down, right, bottom)):
            if part[0] < part[2] and part[1] < part[3]:
                self.fill(part)

    def _is_rescued(self, box: tuple[int, int, int, int], error: UndecodableRegion) -> bool:
        """Reads a block from the next finer level that gives it, if one does."""
        made_from = next((level for level in self._finer(self.level) if self._is_painted(level, box)), None)
        if made_from is None:
            return False
        self.lost.append(Lost(error, self._region(box)[1], made_from))
        if sum(lost.error.level == error.level for lost in self.lost) >= _PATIENCE:
            self.level = made_from
        return True

    def _give_up(self, box: tuple[int, int, int, int], error: UndecodableRegion) -> None:
        """Marks a block, and does not raise: whoever cuts a tile there meets the error."""
        left, top, right, bottom = box
        self.is_unreadable[top:bottom, left:right] = True
        self.lost.append(Lost(error, self._region(box)[1], None))

    def _finer(self, level: int) -> list[int]:
        """Finer levels, the nearest first."""
        levels = self.slide.levels
        finer = [index for index, other in enumerate(levels) if other.downsample < levels[level].downsample]
        return sorted(finer, key=lambda index: -levels[index].downsample)

    def _is_painted(self, level: int, box: tuple[int, int, int, int]) -> bool:
        try:
            if self._fits(level, box):
                self._paint(level, box)
                return True
        except BadInput:
            return False
        return False

    def _fits(self, level: int, box: tuple[int, int, int, int]) -> bool:
        """Whether the level's pixels of a block are few enough to be decoded at once, or the block is a single pixel."""
        longest = max(self._region(box)[1]) / self.slide.levels[level].downsample
        return longest <= 2 * _BLOCK_LEVEL_PX or max(box[2] - box[0], box[3] - box[1]) == 1

    def _paint(self, level: int, box: tuple[int, int, int, int]) -> None:
        left, top, right, bottom = box
        xy, size = self._region(box)
        out = (right - left, bottom - top)
        if level == self.best:
            self.pixels[top:bottom, left:right] = self.slide.read(xy, level0_size=size, out_px=out)
            return
        factor = self.slide.levels[level].downsample
        own = (
            max(out[0], int(size[0] / factor)),
            max(out[1], int(size[1] / factor)),
        )  # the scale of that level, so that it is the one read
        pixels = self.slide.read(xy, level0_size=size, out_px=own)
        self.pixels[top:bottom, left:right] = area_resample(pixels, box=(0, 0, *own), out_px=out)

    def _region(self, box: tuple[int, int, int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
        """Corner and size of a block, level-0 px."""
        left, top, right, bottom = box
        xy = (round(left * self.step_px), round(top * self.step_px))
        return xy, (max(right - left, round(right * self.step_px) - xy[0]), max(bottom - top, round(bottom * self.step_px) - xy[1]))
