"""Slides through OpenSlide: Aperio, DICOM, Hamamatsu, MIRAX, Philips, generic tiled TIFF and the rest it knows.

Label and macro images are never touched, and of a slide's properties only those of `ALLOWED` are read: the others may
hold names and bar codes.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
import openslide

from hdgan.errors import BadInput
from hdgan.slides.codecs import DamagedTileError
from hdgan.slides.foreign import RECOPY, foreign
from hdgan.slides.gaps import VENDORS, Gaps, gaps_in
from hdgan.slides.protocol import WHITE, Box, Level, SlideReader, UndecodableRegion, read_scaled
from hdgan.types import Mpp

_BOUNDS = (
    openslide.PROPERTY_NAME_BOUNDS_X,
    openslide.PROPERTY_NAME_BOUNDS_Y,
    openslide.PROPERTY_NAME_BOUNDS_WIDTH,
    openslide.PROPERTY_NAME_BOUNDS_HEIGHT,
)
ALLOWED = frozenset(
    (
        openslide.PROPERTY_NAME_VENDOR,
        openslide.PROPERTY_NAME_MPP_X,
        openslide.PROPERTY_NAME_MPP_Y,
        openslide.PROPERTY_NAME_OBJECTIVE_POWER,
        *_BOUNDS,
    )
)
"""The properties that are read."""

_PLAUSIBLE_OBJECTIVE = (0.5, 200.0)
_PLAUSIBLE_MPP = (0.01, 100.0)
_PRINT_DPI = (300, 400, 600, 1200, 2400)
"""What image programs write into a TIFF that knows no scale; as one it would be 10 to 85 um/px, which nobody scans at. Others, such as 72, are not
plausible anyway."""
_DPI_WITHIN = 0.005
"""Share by which dots per cm are rounded."""
_UM_PER_INCH = 25400
_SQUARE_WITHIN = 0.02
"""Width and height of a pixel may differ by this share; their mean is taken."""


class PyramidSlide:
    """A slide that OpenSlide opens; `reason` says why it is read so and not directly."""

    reader = "openslide"

    def __init__(self, path: Path, *, mpp_override: float | None = None, reason: str = "") -> None:
        self.path, self.reason = path, reason
        self._slide = _open(path)
        self.vendor = _property(self._slide, openslide.PROPERTY_NAME_VENDOR) or "unknown"
        self.objective = _stated_objective(self._slide)
        sizes, downsamples = self._slide.level_dimensions, self._slide.level_downsamples
        self.levels = tuple(Level((width, height), float(factor)) for (width, height), factor in zip(sizes, downsamples, strict=True))
        self.size_px = self.levels[0].size_px
        self.stated_mpp: Mpp | None = None
        try:
            self.stated_mpp = _stated_mpp(self._slide, path)
        except BadInput:
            if not mpp_override:  # which mends it
                raise
        self.mpp = Mpp(mpp_override) if mpp_override else self.stated_mpp
        self.scanned = _stated_bounds(self._slide, self.size_px)
        self.gaps: tuple[Gaps, ...] | None = None if self.vendor in VENDORS else ()
        """The lost tiles of each level, sought at the first look at a coarser one; empty where none are known."""

    def read(self, xy: tuple[int, int], *, level0_size: int | tuple[int, int], out_px: int | tuple[int, int]) -> np.ndarray:
        """A region at a scale; see `SlideReader.read`."""
        return read_scaled(self.levels, self.read_level, xy, level0_size=level0_size, out_px=out_px, where=self.path)

    def close(self) -> None:
        """Lets go of the file."""
        self._slide.close()

    def read_level(self, level: int, xy: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
        """The pixels of `size` px at `xy`, both in pixels of that level: `[H, W, 3]` uint8, white outside.

        Raises:
            BadInput: OpenSlide cannot decode it, or a tile was lost (`hdgan.slides.gaps`); the reader stays usable.
        """
        factor = self.levels[level].downsample
        origin = (round(xy[0] * factor), round(xy[1] * factor))
        try:
            self._refuse_lost(level, xy, size)
            return _on_white(np.asarray(self._slide.read_region(origin, level, size)))
        except DamagedTileError as error:
            raise UndecodableRegion(self.path, reader=self.reader, xy=origin, level=level, size=size, error=error) from error
        except openslide.OpenSlideError as error:
            # After one error every later read of the handle fails too (OpenSlide's "latching"): without a fresh one, one bad tile costs the slide.
            self._slide.close()
            self._slide = _open(self.path)
            raise UndecodableRegion(self.path, reader=self.reader, xy=origin, level=level, size=size, error=error) from error

    def _refuse_lost(self, level: int, xy: tuple[int, int], size: tuple[int, int]) -> None:
        if self.gaps is None and level > 0:
            self.gaps = gaps_in(self.path, self.levels)
        lost = self.gaps[level].told(xy, size) if self.gaps else ""
        if lost:
            raise DamagedTileError(lost)


def scanned_part(slide: SlideReader) -> Box | None:
    """The part of level 0 that was scanned, where the slide states it."""
    return slide.scanned if isinstance(slide, PyramidSlide) else None


def knows(path: Path) -> bool:
    """Whether OpenSlide recognises the file."""
    with suppress(openslide.OpenSlideError):
        return openslide.OpenSlide.detect_format(str(path)) is not None
    return True  # recognised but damaged: opening it says what is wrong


def _open(path: Path) -> openslide.OpenSlide:
    try:
        return openslide.OpenSlide(str(path))
    except openslide.OpenSlideUnsupportedFormatError as error:
        raise foreign(path) or BadInput(path, "is no slide that can be read, or it is damaged", RECOPY) from error
    except openslide.OpenSlideError as error:
        said = " ".join(str(error).replace(str(path), "").split()).strip(": ")
        kind = "is cut off, or damaged" if "hort read" in said else "is damaged"
        raise foreign(path) or BadInput(path, f"{kind} ({said})", RECOPY) from error


def _property(slide: openslide.OpenSlide, name: str) -> str:
    """The text of a property that may be read; empty without one."""
    assert name in ALLOWED, name
    return str(slide.properties.get(name, ""))


def _stated_objective(slide: openslide.OpenSlide) -> float | None:
    """The magnification that the file states, None without a believable one."""
    try:
        power = float(_property(slide, openslide.PROPERTY_NAME_OBJECTIVE_POWER))
    except ValueError:
        return None
    low, high = _PLAUSIBLE_OBJECTIVE
    return power if low <= power <= high else None


def _stated_mpp(slide: openslide.OpenSlide, path: Path) -> Mpp | None:
    """The scale that the file states, None without a believable one."""
    try:
        across = float(_property(slide, openslide.PROPERTY_NAME_MPP_X))
        down = float(_property(slide, openslide.PROPERTY_NAME_MPP_Y))
    except ValueError:
        return None
    low, high = _PLAUSIBLE_MPP
    if not (low <= across <= high and low <= down <= high):
        return None
    is_plain = _property(slide, openslide.PROPERTY_NAME_VENDOR) == "generic-tiff"
    if is_plain and any(abs(mpp * dpi / _UM_PER_INCH - 1) <= _DPI_WITHIN for dpi in _PRINT_DPI for mpp in (across, down)):
        return None
    if abs(across - down) > _SQUARE_WITHIN * min(across, down):
        raise BadInput(path, f"has pixels of {across} x {down} um, which are not square", "resample it, or give its mpp in the slide table")
    return Mpp((across + down) / 2)


def _stated_bounds(slide: openslide.OpenSlide, size_px: tuple[int, int]) -> Box | None:
    """The part of level 0 that was scanned, as MIRAX and Leica SCN slides state it; None without one that lies inside."""
    try:
        left, top, width, height = (int(_property(slide, name)) for name in _BOUNDS)
    except ValueError:
        return None
    is_inside = left >= 0 and top >= 0 and 0 < width <= size_px[0] - left and 0 < height <= size_px[1] - top
    return Box(left, top, width, height) if is_inside else None


def _on_white(rgba: np.ndarray) -> np.ndarray:
    """RGB over white of RGBA pixels `[H, W, 4]` uint8; what was not scanned is transparent."""
    alpha = rgba[..., 3:].astype(np.uint16)
    if alpha.min(initial=255) == 255:
        return np.ascontiguousarray(rgba[..., :3])
    blended = (rgba[..., :3] * alpha + WHITE * (255 - alpha) + 127) // 255
    return blended.astype(np.uint8)
