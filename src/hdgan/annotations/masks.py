"""Index masks from outside: read as they are meant, or refused with the reason; never guessed.

A mask is a PNG, 8-bit, one channel: class index, 255 where nobody labelled. Converting anything else on the way in is how labels are
lost in silence (a 16-bit mask clips, a palette becomes its grey values, a 4-bit one is scaled by 17), so nothing is converted.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hdgan.errors import BadMask
from hdgan.labels import IGNORE, ClassMap
from hdgan.store.atomic import read_mask

_REMEDY = "save the mask as PNG, 8-bit greyscale, value = class index, 255 = ignored"
_COLOUR_TYPES = {0: "greyscale", 2: "RGB", 3: "palette", 4: "greyscale with transparency", 6: "RGBA"}
_ORIENTATION = 0x0112
_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def read_index_mask(path: Path, *, classes: ClassMap, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """The mask at `path`, uint8 `[H, W]` of `shape`, class indices and 255.

    A palette image is read by its indices, when its palette shows that these are the classes: every used entry has the colour of the
    class map, or the grey of its own index, or the colour that the Pascal VOC rule gives its index.

    Raises:
        BadMask: another format, depth, size or orientation; a palette of other colours; a value that is no class.
    """
    mask, palette = _levels(path, shape=shape, has_palette=True)
    if palette is not None:
        _check_palette(path, palette, np.unique(mask), classes)
    check_labels(mask, classes, where=path)
    return mask


def read_levels(path: Path, *, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """The grey levels uint8 `[H, W]` of `shape` in an 8-bit greyscale PNG.

    Raises:
        BadMask: another format, depth, size or orientation.
    """
    return _levels(path, shape=shape, has_palette=False)[0]


def _levels(path: Path, *, shape: tuple[int, int], has_palette: bool) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """Values of the pixels, and the palette `[N, 3]` where there is one and `has_palette` allows it."""
    height, width, depth, kind = _png_header(path)
    if kind not in ((0, 3) if has_palette else (0,)) or (kind == 0 and depth != 8):
        raise BadMask(path, f"{depth}-bit {_COLOUR_TYPES.get(kind, 'unknown')} is no index mask", _REMEDY)
    if (height, width) != shape:
        raise BadMask(
            path, f"{width} x {height} px, its image has {shape[1]} x {shape[0]} px", "draw on the sample at its full size, unscaled"
        )
    levels = read_mask(path)
    with Image.open(path) as image:
        if image.getexif().get(_ORIENTATION, 1) != 1:
            raise BadMask(path, "an EXIF entry turns or mirrors it", "save it without EXIF orientation")
        palette = image.palette.getdata()[1] if image.mode == "P" and image.palette else None
        mode = image.palette.mode if palette is not None and image.palette else "RGB"
    return levels, None if palette is None else np.frombuffer(palette, np.uint8).reshape(-1, len(mode))[:, :3]


def check_labels(mask: NDArray[np.uint8], classes: ClassMap, *, where: str | Path) -> None:
    """Passes when every value of `mask` is a class of `classes` or 255.

    Raises:
        BadMask: naming each foreign value and its number of pixels.
    """
    counts = np.bincount(mask.ravel(), minlength=256)
    foreign = [int(value) for value in np.nonzero(counts)[0] if value != IGNORE and value >= len(classes)]
    if foreign:
        found = ", ".join(f"{value} ({counts[value]} px)" for value in foreign[:8]) + (", ..." if len(foreign) > 8 else "")
        known = ", ".join(f"{index} {name}" for index, name in enumerate(classes.names))
        raise BadMask(where, f"foreign label {found}", f"known are {known}, {IGNORE} ignored")


def check_hashes(stated: Mapping[str, str], actual: Mapping[str, str], *, where: str | Path) -> None:
    """Passes when every image hash in `stated` (name -> hash) is that of the sample of the same name in `actual`.

    Raises:
        BadMask: a mask was drawn on another picture.
    """
    for name, stated_hash in sorted(stated.items()):
        if actual.get(name) != stated_hash:
            what = f"mask {name} was drawn on an image with hash {stated_hash[:12]}, sample {name} has {str(actual.get(name))[:12]}"
            raise BadMask(where, what, "import it into the run whose sample was annotated")


def _png_header(path: Path) -> tuple[int, int, int, int]:
    """Height, width, bit depth and colour type as the file states them; nothing is decoded or allocated for it.

    Every chunk's checksum is checked here: decoders let a flipped bit near the end of the pixels pass, as other labels.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadMask(path, f"cannot be read ({error.strerror})", _REMEDY) from error
    if data[:8] != _SIGNATURE or data[12:16] != b"IHDR" or len(data) < 33:
        raise BadMask(path, "not a PNG file", _REMEDY)
    place, kind = len(_SIGNATURE), b""
    while place + 12 <= len(data) and kind != b"IEND":
        length, kind = struct.unpack(">I4s", data[place : place + 8])
        stated = data[place + 8 + length : place + 12 + length]
        if stated != struct.pack(">I", zlib.crc32(data[place + 4 : place + 8 + length])):
            raise BadMask(path, "a damaged PNG file (checksum)", "save or copy it again")
        place += 12 + length
    if kind != b"IEND":
        raise BadMask(path, "a PNG file that ends too early", "save or copy it again")
    width, height, depth, colour_type = struct.unpack(">IIBB", data[16:26])
    return height, width, depth, colour_type


def _check_palette(path: Path, palette: NDArray[np.uint8], used: NDArray[np.uint8], classes: ClassMap) -> None:
    """Refuses indices whose colours say that they mean something else (programs renumber palettes when they save)."""
    for value in (int(index) for index in used if index != IGNORE and index < len(classes)):
        colour = tuple(int(level) for level in palette[value]) if value < len(palette) else None
        if colour not in (classes.classes[value].rgb, (value, value, value), voc_colour(value)):
            what = f"palette entry {value} has the colour {colour}, class {value} ({classes.names[value]}) has {classes.classes[value].rgb}"
            raise BadMask(path, what, _REMEDY)


def voc_colour(index: int) -> tuple[int, int, int]:
    """The colour that the Pascal VOC palette gives `index` (0 to 255): bits 0, 1, 2 of every triple go to R, G, B, highest bit first."""
    levels = [0, 0, 0]
    for place in range(8):
        for channel in range(3):
            levels[channel] |= ((index >> (3 * place + channel)) & 1) << (7 - place)
    return levels[0], levels[1], levels[2]
