"""Writing files whole or not at all: temporary file in the same folder, fsync, rename, fsync of the folder.

The one place where bytes reach a disk. A reader never sees a half-written file, and a killed writer leaves at most a
temporary file, which the stage folder removes when it is opened next.
"""

from __future__ import annotations

import errno
import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from hdgan.errors import BadInput, BadMask, OutOfSpace

TEMPORARY_MARK = ".partial-"
"""Part of the name of every temporary file, by which leftovers are known."""

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_MASK_MODES = ("L", "P", "1")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path to be written by any means; becomes `path` when the block ends without an error.

    Raises:
        OutOfSpace: the disk is full; nothing is left behind.
    """
    temporary = path.parent / f"{TEMPORARY_MARK}{os.getpid()}-{path.name}"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield temporary
        _sync(temporary)
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise_if_full(error, path)
        raise
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def raise_if_full(error: OSError, path: Path) -> None:
    """Turns "no space left" into one clear line; other errors pass.

    Raises:
        OutOfSpace: the error says that the disk (or quota) is full.
    """
    if error.errno in _FULL:
        message = f"{path}: no space left to write it; free some and run the same command again"
        raise OutOfSpace(message) from error


def write_bytes(path: Path, data: bytes) -> None:
    """Writes `data` as the file `path`."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(data)


def write_text(path: Path, text: str) -> None:
    """Writes `text` as UTF-8."""
    write_bytes(path, text.encode())


def write_json(path: Path, data: Any) -> None:
    """Writes `data` as JSON with sorted keys: equal data give equal bytes.

    Raises:
        ValueError: the data hold a number that is not finite.
    """
    write_text(path, json.dumps(data, sort_keys=True, indent=1, allow_nan=False, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """The JSON data in `path`.

    Raises:
        BadInput: the file is missing or is no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BadInput(path, f"cannot be read as JSON ({error})") from error


def encode_png(array: np.ndarray) -> bytes:
    """PNG bytes of an uint8 array `[H, W]` or `[H, W, 3]`; equal arrays give equal bytes."""
    if array.dtype != np.uint8 or array.ndim not in (2, 3):
        raise ValueError(f"not an 8-bit image: {array.dtype} {array.shape}")
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(array)).save(buffer, format="PNG", compress_level=4)
    return buffer.getvalue()


def write_png(path: Path, array: np.ndarray) -> None:
    """Writes an uint8 array `[H, W]` or `[H, W, 3]` as PNG."""
    write_bytes(path, encode_png(array))


def read_image(path: Path) -> np.ndarray:
    """Pixels `[H, W, 3]` uint8 of an image file.

    Raises:
        BadInput: the file is missing, broken, or no image.
    """
    try:
        with Image.open(path) as image:
            return np.array(image.convert("RGB"))
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise BadInput(path, f"cannot be read as an image ({error})") from error


def read_mask(path: Path) -> np.ndarray:
    """Class indices `[H, W]` uint8 of an 8-bit grey or palette image; palettes are read as indices, never as colours.

    Raises:
        BadMask: the file is missing, broken, or of another kind (16-bit, RGB): decoding those loses labels silently.
    """
    try:
        with Image.open(path) as image:
            if image.mode not in _MASK_MODES:
                raise BadMask(path, f"is an image of mode {image.mode}", "save the mask as 8-bit grey (L) with class indices")
            return np.array(image, dtype=np.uint8)
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        if isinstance(error, BadMask):
            raise
        raise BadMask(path, f"cannot be read as a mask ({error})") from error


def remove_leftovers(folder: Path) -> None:
    """Removes temporary files that a killed writer left below `folder`."""
    for path in folder.rglob(f"{TEMPORARY_MARK}*"):
        with suppress(OSError):
            path.unlink()


def sync_folder(folder: Path) -> None:
    """Makes renames in `folder` survive a power cut."""
    if os.name == "nt":  # Windows has no fsync of folders
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())
