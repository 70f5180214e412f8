"""Small DICOM slides painted for the tests: a file for each level, JPEG frames in rows (PS3.3, A.32.8; PS3.5, A.4)."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
from PIL import Image

from .painting import halved

EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
_JPEG = "1.2.840.10008.1.2.4.50"
_SLIDE_IMAGE = "1.2.840.10008.5.1.4.1.1.77.1.6"
_LONG = ("OB", "SQ", "UN")
_OPEN = 0xFFFFFFFF
_NUMBERS = {"US": "<H", "UL": "<I"}


def write_series(
    folder: Path, pixels: np.ndarray, *, names: tuple[str, ...], series: str = "1.2.3", mpp: float = 0.5, tile: int = 64
) -> list[Path]:
    """Writes a slide of as many levels as `names`, each the mean of 2 x 2 px of the one before."""
    paths = []
    for index, name in enumerate(names):
        (folder / name).write_bytes(_level(pixels, series=series, mpp=mpp * 2**index, tile=tile, number=index + 1))
        paths.append(folder / name)
        pixels = halved(pixels)
    return paths


def element(group: int, number: int, kind: str, value: object, *, syntax: str = EXPLICIT, is_open: bool = False) -> bytes:
    """One element: text, a number, or bytes as they are; `is_open` ends it by a mark in place of a length."""
    if isinstance(value, int):
        data = struct.pack(_NUMBERS[kind], value)
    else:
        data = value if isinstance(value, bytes) else str(value).encode()
        data += (b"\0" if kind in ("UI", "OB") else b" ") * (len(data) % 2)
    length = _OPEN if is_open else len(data)
    head = struct.pack("<HH", group, number)
    if syntax == IMPLICIT:
        head += struct.pack("<I", length)
    elif kind in _LONG:
        head += kind.encode() + struct.pack("<HI", 0, length)
    else:
        head += kind.encode() + struct.pack("<H", length)
    return head + data + (struct.pack("<HHI", 0xFFFE, 0xE0DD, 0) if is_open else b"")


def item(value: bytes, *, is_open: bool = False) -> bytes:
    """One item of a sequence."""
    head = struct.pack("<HHI", 0xFFFE, 0xE000, _OPEN if is_open else len(value))
    return head + value + (struct.pack("<HHI", 0xFFFE, 0xE00D, 0) if is_open else b"")


def dicom_file(elements: bytes, *, syntax: str) -> bytes:
    """A file of these elements, in their order, which are written as `syntax` says."""
    meta = element(2, 2, "UI", _SLIDE_IMAGE) + element(2, 3, "UI", "1.2.9") + element(2, 0x10, "UI", syntax)
    return bytes(128) + b"DICM" + element(2, 0, "UL", len(meta)) + meta + elements


def _level(pixels: np.ndarray, *, series: str, mpp: float, tile: int, number: int) -> bytes:
    height, width = pixels.shape[:2]
    frames = [_jpeg(pixels[y : y + tile, x : x + tile], tile) for y in range(0, height, tile) for x in range(0, width, tile)]
    spacing = element(0x28, 0x30, "DS", f"{mpp / 1000:g}\\{mpp / 1000:g}")
    shared = element(0x28, 0x9110, "SQ", item(spacing))
    data = (
        element(8, 8, "CS", "ORIGINAL\\PRIMARY\\VOLUME\\NONE" if number == 1 else "DERIVED\\PRIMARY\\VOLUME\\RESAMPLED"),
        element(8, 0x16, "UI", _SLIDE_IMAGE),
        element(8, 0x18, "UI", f"{series}.{number}"),
        element(0x20, 0xD, "UI", "1.2.8"),
        element(0x20, 0xE, "UI", series),
        element(0x20, 0x9311, "CS", "TILED_FULL"),
        element(0x28, 2, "US", 3),
        element(0x28, 4, "CS", "RGB"),
        element(0x28, 6, "US", 0),
        element(0x28, 8, "IS", str(len(frames))),
        element(0x28, 0x10, "US", tile),
        element(0x28, 0x11, "US", tile),
        element(0x28, 0x100, "US", 8),
        element(0x28, 0x101, "US", 8),
        element(0x28, 0x102, "US", 7),
        element(0x28, 0x103, "US", 0),
        element(0x48, 6, "UL", width),
        element(0x48, 7, "UL", height),
        element(0x48, 0x303, "UL", 1),
        element(0x5200, 0x9229, "SQ", item(shared)),
        element(0x7FE0, 0x10, "OB", item(b"") + b"".join(map(item, frames)), is_open=True),
    )
    return dicom_file(b"".join(data), syntax=_JPEG)


def _jpeg(pixels: np.ndarray, tile: int) -> bytes:
    """A frame, filled up with white, as JPEG that keeps RGB; its bytes are even in number."""
    frame = np.full((tile, tile, 3), 255, np.uint8)
    frame[: pixels.shape[0], : pixels.shape[1]] = pixels
    stream = io.BytesIO()
    Image.fromarray(frame).save(stream, format="JPEG", quality=95, keep_rgb=True)
    return stream.getvalue() + b"\0" * (len(stream.getvalue()) % 2)
