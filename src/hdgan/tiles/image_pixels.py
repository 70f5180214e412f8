"""Pixels of image files of 8 and 16 bits, and their conversion to 8-bit RGB by a stated window.

Pillow gives 16-bit colour PNGs as 8 bits without a word, so that PNGs of 16 bits go through imagecodecs and TIFF files through tifffile.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from PIL import Image

from hdgan.errors import BadInput
from hdgan.slides.image import over_white
from hdgan.store.codec import UNDECODABLE

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp")
Window = tuple[float, float]
NUM_VALUES, _OFFSET = 1 << 17, 1 << 15

_PNG, _PNG_DEPTH = b"\x89PNG\r\n\x1a\n", 24
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_KINDS = (np.uint8, np.uint16, np.int16)
_MODES = ("1", "L", "P", "LA", "PA", "RGB", "RGBA")
_REMEDY = "save it as grey or RGB, of 8 or 16 bits"


def decode_image(data: bytes, *, where: str) -> np.ndarray:
    """Pixels `[H, W]` (grey) or `[H, W, 3]`, uint8, uint16 or int16, of the bytes of a PNG, JPEG, TIFF, BMP or WebP; opacity is laid over white.

    Raises:
        BadInput: they are damaged, or hold several images or numbers of another kind.
    """
    try:
        if data[:8] == _PNG and data[_PNG_DEPTH : _PNG_DEPTH + 1] == b"\x10":
            pixels = imagecodecs.png_decode(data)
        elif data[:4] in _TIFF:
            with tifffile.TiffFile(io.BytesIO(data)) as tiff:
                pixels = _of_tiff(tiff, data, where=where)
        else:
            return _by_pillow(data, where=where)
    except BadInput:
        raise
    except (*UNDECODABLE, tifffile.TiffFileError) as error:
        raise BadInput(where, f"cannot be decoded ({error})", "copy it again from its source, or leave it out") from error
    if pixels.dtype.newbyteorder("=") not in [np.dtype(kind) for kind in _KINDS]:
        raise BadInput(where, f"holds numbers of type {pixels.dtype}", _REMEDY)
    return _without_opacity(pixels, where=where)


def measured_window(images: Iterable[np.ndarray], *, percentiles: tuple[float, float]) -> Window | None:
    """The two percentiles over all pixels and channels of the `images` that have more than 8 bits, counted exactly; None without such an image."""
    counts = np.zeros(NUM_VALUES, np.int64)
    for pixels in images:
        counts += counted(pixels)
    return window_of(counts, percentiles=percentiles)


def counted(pixels: np.ndarray) -> np.ndarray:
    """How often each value from -32768 to 98303 occurs, int64 `[NUM_VALUES]`; of 8 bits nothing is counted."""
    if pixels.dtype == np.uint8:
        return np.zeros(NUM_VALUES, np.int64)
    return np.bincount(pixels.astype(np.int64).ravel() + _OFFSET, minlength=NUM_VALUES)


def window_of(counts: np.ndarray, *, percentiles: tuple[float, float]) -> Window | None:
    """The two percentiles of values counted as by `counted`; None where there are none."""
    total = int(counts.sum())
    if not total:
        return None
    reached = np.cumsum(counts)
    low, high = (int(np.searchsorted(reached, max(1, np.ceil(share / 100 * total)))) - _OFFSET for share in percentiles)
    return (float(low), float(high))


def to_rgb(pixels: np.ndarray, *, window: Window | None) -> np.ndarray:
    """`[H, W, 3]` uint8. Of more than 8 bits: `window` (its number format where None) becomes 0 to 255, rounded, and what lies outside is cut off."""
    if pixels.dtype != np.uint8:
        limits = np.iinfo(pixels.dtype)
        low, high = window or (float(limits.min), float(limits.max))
        values = np.arange(limits.min, limits.max + 1, dtype=np.float64)
        table = np.round(np.clip((values - low) / max(high - low, 1e-9), 0, 1) * 255).astype(np.uint8)
        pixels = table[pixels.astype(np.int32) - limits.min]
    return np.ascontiguousarray(np.broadcast_to(pixels[..., None], (*pixels.shape, 3)) if pixels.ndim == 2 else pixels)


def _of_tiff(tiff: Any, data: bytes, *, where: str) -> np.ndarray:
    page = tiff.pages[0]
    if any(other.shape == page.shape for other in tiff.pages[1:]):
        raise BadInput(where, f"holds {len(tiff.pages)} images", "save each as a file of its own")
    if page.photometric.name in ("PALETTE", "CIELAB", "SEPARATED") or page.dtype == bool:
        return _by_pillow(data, where=where)
    pixels = np.asarray(page.asarray(maxworkers=1))
    if page.planarconfig == 2 and pixels.ndim == 3:
        pixels = np.moveaxis(pixels, 0, 2)
    return np.invert(pixels) if page.photometric.name == "MINISWHITE" else pixels


def _by_pillow(data: bytes, *, where: str) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        if image.mode not in _MODES:
            raise BadInput(where, f"is an image of mode {image.mode}", _REMEDY)
        if image.mode in ("1", "L") and "transparency" not in image.info:
            return np.array(image.convert("L"))
        return over_white(image)


def _without_opacity(pixels: np.ndarray, *, where: str) -> np.ndarray:
    """Grey or colour; a second or fourth channel is taken as opacity and laid over the largest value."""
    if pixels.ndim == 3 and pixels.shape[2] in (2, 4):
        most = np.iinfo(pixels.dtype).max
        share = pixels[..., -1:].astype(np.float64) / most
        pixels = np.round(pixels[..., :-1] * share + most * (1 - share)).astype(pixels.dtype)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    if pixels.ndim != 2 and not (pixels.ndim == 3 and pixels.shape[2] == 3):
        raise BadInput(where, f"has the shape {pixels.shape}", _REMEDY)
    return pixels
