"""A plain PNG, JPEG or TIFF as a slide of one level, held in memory while it is open.

Such files rarely state a scale that is meant, so it has to be given. Pixels are taken as stored: an EXIF rotation is not
applied, because coordinates beside the image (annotations, masks) mean stored pixels.
"""

from __future__ import annotations

import struct
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from hdgan.errors import BadInput
from hdgan.slides.foreign import RECOPY, foreign
from hdgan.slides.protocol import WHITE, Level, read_scaled
from hdgan.types import Mpp

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp")
_MODES = ("1", "L", "P", "LA", "PA", "RGB", "RGBA")
_DAMAGE = (OSError, ValueError, SyntaxError, TypeError, KeyError, IndexError, struct.error, MemoryError)
"""What Pillow raises on damaged files; it has no error of its own for them."""
_LARGEST_PX = 1 << 28
"""268 million pixels, 805 MB as RGB: more belongs into a pyramid."""


class ImageSlide:
    """A plain image."""

    vendor = "image"
    reader = "image"
    reason = ""
    objective: float | None = None
    stated_mpp: Mpp | None = None

    def __init__(self, path: Path, *, mpp_override: float | None = None) -> None:
        self.path = path
        self.mpp = Mpp(mpp_override) if mpp_override else None
        self._pixels: np.ndarray | None = None
        with _opened(path) as image:
            self.size_px = image.size
        self.levels = (Level(self.size_px, 1.0),)

    def read(self, xy: tuple[int, int], *, level0_size: int | tuple[int, int], out_px: int | tuple[int, int]) -> np.ndarray:
        """A region at a scale; see `SlideReader.read`."""
        return read_scaled(self.levels, self._read_level, xy, level0_size=level0_size, out_px=out_px, where=self.path)

    def close(self) -> None:
        """Lets go of the pixels."""
        self._pixels = None

    def _read_level(self, level: int, xy: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
        assert level == 0
        if self._pixels is None:
            self._pixels = _load(self.path)
        (x, y), (width, height) = xy, size
        region = np.full((height, width, 3), WHITE, np.uint8)
        inside = self._pixels[max(y, 0) : max(y + height, 0), max(x, 0) : max(x + width, 0)]
        top, left = max(-y, 0), max(-x, 0)
        region[top : top + inside.shape[0], left : left + inside.shape[1]] = inside
        return region


def over_white(image: Image.Image) -> np.ndarray:
    """The pixels of an 8-bit image over white, `[H, W, 3]` uint8."""
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (WHITE, WHITE, WHITE, 255))
        return np.array(Image.alpha_composite(white, rgba).convert("RGB"))
    return np.array(image.convert("RGB"))


def _opened(path: Path) -> Image.Image:
    """The image, its header read and checked."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the size is checked below, by a bound of our own; of damage Pillow tells more by an error
            image = Image.open(path)
    except UnidentifiedImageError as error:
        raise foreign(path) or BadInput(path, "is no image and no slide of a known kind, or it is damaged", RECOPY) from error
    except (*_DAMAGE, Image.DecompressionBombError) as error:
        raise BadInput(path, f"cannot be read as an image ({error})", RECOPY) from error
    try:
        _check(image, path)
    except BadInput:
        image.close()
        raise
    return image


def _check(image: Image.Image, path: Path) -> None:
    if image.size[0] * image.size[1] > _LARGEST_PX:
        raise BadInput(
            path, f"is a plain image of {image.size[0]} x {image.size[1]} px", "save images this large as a tiled, pyramidal TIFF"
        )
    if image.mode not in _MODES:
        raise BadInput(path, f"is an image of mode {image.mode}", "save it as 8-bit grey or RGB")


def _load(path: Path) -> np.ndarray:
    """Pixels over white, `[H, W, 3]` uint8."""
    try:
        with warnings.catch_warnings(), _opened(path) as image:
            warnings.simplefilter("ignore")
            return over_white(image)
    except _DAMAGE as error:
        raise foreign(path) or BadInput(path, f"is damaged or cut off, and cannot be decoded ({error})", RECOPY) from error
