"""Writing files whole or not at all: temporary file in the same folder, fsync, rename, fsync of the folder.

The one place where bytes reach a disk. A reader never sees a half-written file, and a killed writer leaves at most a
temporary file, which the stage folder removes when it is opened next.
"""

from __future__ import annotations

import errno
import io
import json
import os
import re
import shutil
import struct
import zlib
from collections.abc import Container, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from hdgan.errors import BadInput, BadMask, OutOfSpace

TEMPORARY_MARK = ".partial-"
"""Part of the name of every temporary file, by which leftovers are known."""

_LEFTOVER_FOLDER = re.compile(rf"{re.escape(TEMPORARY_MARK)}\d+-[0-9a-f]{{8}}-(?:new|old)-(.+)")
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_SYNCED_AT_ONCE = 16
_MASK_MODES = ("L", "P", "1")
_KEEPS_VALUES = ("L", "P", "1", "P;1", "P;2", "P;4")
"""How a file may store a mask; from any other (`L;2`, `L;4`, `L;I`) decoding rescales or inverts the values."""
_LOSSY = ("JPEG", "MPO")
_MASK_REMEDY = "save the mask as PNG, 8-bit grey (L) with class indices"

UNREADABLE = (OSError, EOFError, ValueError, TypeError, SyntaxError, OverflowError, struct.error, zlib.error, Image.DecompressionBombError)
"""What Pillow raises for files that are damaged or no images."""


@contextmanager
def replacing(path: Path, *, is_nested: bool = False) -> Iterator[Path]:
    """A temporary path to be written by any means; becomes `path` when the block ends without an error.

    With `is_nested` it lies in a temporary folder of its own, for writers that put temporary files of theirs beside it.
    In a folder that `replacing_folder` is about to make nothing is synced yet: that does it once for all files.

    Raises:
        OutOfSpace: the disk is full; nothing is left behind.
    """
    leftover = path.parent / f"{TEMPORARY_MARK}{os.getpid()}-{path.name}"
    temporary = leftover / path.name if is_nested else leftover
    try:
        temporary.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        is_synced_later = any(_LEFTOVER_FOLDER.fullmatch(name) for name in path.parent.parts)
        if not is_synced_later:
            _sync(temporary)
        os.replace(temporary, path)
        if not is_synced_later:
            sync_folder(path.parent)
    except OSError as error:
        raise_if_full(error, path)
        raise
    finally:
        _remove(leftover)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """A temporary folder to be filled; becomes `path` when the block ends without an error, in the place of a folder that was there.

    Other processes, on this machine or another, may do the same at the same time: one of the folders stays, whole. The folder above must exist.
    """
    mark = f"{TEMPORARY_MARK}{os.getpid()}-{os.urandom(4).hex()}"  # processes of several machines have equal numbers
    temporary, former = (path.parent / f"{mark}-{kind}-{path.name}" for kind in ("new", "old"))
    try:
        temporary.mkdir()
        yield temporary
        _sync_all(temporary)
        while True:
            with suppress(FileNotFoundError):
                path.rename(former)
            try:
                temporary.rename(path)
                break
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
                _remove(former)  # another process was faster: its folder goes the same way
        sync_folder(path.parent)
    except OSError as error:
        raise_if_full(error, path)
        raise
    finally:
        _remove(temporary)
        _remove(former)


@contextmanager
def scratch(near: Path) -> Iterator[Path]:
    """A temporary folder on the disk of `near` (in the nearest folder above it that exists), removed at the end."""
    place = next(folder for folder in (near.absolute(), *near.absolute().parents) if folder.is_dir())
    folder = place / f"{TEMPORARY_MARK}{os.getpid()}-{near.name}"
    try:
        _remove(folder)  # of a killed process that had our number
        folder.mkdir()
        yield folder
    finally:
        _remove(folder)


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
    write_text(path, json_text(data))


def json_text(data: Any) -> str:
    """`data` as `write_json` writes it."""
    return json.dumps(data, sort_keys=True, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


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


def decode_png(data: bytes) -> np.ndarray:
    """The array uint8 `[H, W]` or `[H, W, 3]` of bytes that `encode_png` made."""
    with Image.open(io.BytesIO(data)) as image:
        return np.array(image)


def write_png(path: Path, array: np.ndarray) -> None:
    """Writes an uint8 array `[H, W]` or `[H, W, 3]` as PNG."""
    write_bytes(path, encode_png(array))


def write_animation(path: Path, frames: Sequence[np.ndarray], *, step_ms: int) -> None:
    """Writes uint8 arrays `[H, W, 3]` of one size as an endless lossless WebP, each shown for `step_ms`."""
    first, *rest = (Image.fromarray(np.ascontiguousarray(frame)) for frame in frames)
    buffer = io.BytesIO()
    first.save(buffer, format="WEBP", save_all=True, append_images=rest, duration=step_ms, loop=0, lossless=True, quality=0)
    write_bytes(path, buffer.getvalue())


def read_image(path: Path) -> np.ndarray:
    """Pixels `[H, W, 3]` uint8 of an image file.

    Raises:
        BadInput: the file is missing, broken, or no image.
    """
    try:
        with Image.open(path) as image:
            return np.array(image.convert("RGB"))
    except UNREADABLE as error:
        raise BadInput(path, f"cannot be read as an image ({error})") from error


def read_mask(path: Path) -> np.ndarray:
    """Class indices `[H, W]` uint8 of an 8-bit grey or palette image; palettes are read as indices, never as colours.

    Raises:
        BadMask: the file is missing, broken, or of another kind (16-bit, 4-bit grey, RGB, JPEG): decoding those changes labels silently.
    """
    try:
        with Image.open(path) as image:
            if image.mode not in _MASK_MODES:
                raise BadMask(path, f"is an image of mode {image.mode}", _MASK_REMEDY)
            if image.format in _LOSSY or _stored_as(image) not in _KEEPS_VALUES:
                raise BadMask(path, f"is a {image.format} that stores {_stored_as(image)}, which changes labels", _MASK_REMEDY)
            return np.array(image, dtype=np.uint8)
    except UNREADABLE as error:
        raise BadMask(path, f"cannot be read as a mask ({error})") from error


def remove_leftovers(folder: Path) -> None:
    """Removes temporary files that a killed writer left below `folder`."""
    for path in sorted(folder.rglob(f"{TEMPORARY_MARK}*")):
        with suppress(OSError):
            _remove(path)


def remove_leftover_folders(folder: Path, names: Container[str]) -> None:
    """Removes temporary folders in `folder` that killed processes would have made folders of these names (`replacing_folder`)."""
    for path in sorted(folder.glob(f"{TEMPORARY_MARK}*")):
        meant = _LEFTOVER_FOLDER.fullmatch(path.name)
        if meant is not None and meant[1] in names:
            with suppress(OSError):
                _remove(path)


def sync_folder(folder: Path) -> None:
    """Makes renames in `folder` survive a power cut."""
    if os.name == "nt":  # Windows has no fsync of folders
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _stored_as(image: Image.Image) -> str:
    """How the file stores its pixels, in Pillow's words: the mode, with a suffix where decoding changes the values."""
    tiles = getattr(image, "tile", None)  # an attribute of files only
    arguments = tiles[0][3] if tiles else None
    first = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return first if isinstance(first, str) else image.mode


def _remove(path: Path) -> None:
    """Removes a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _sync_all(folder: Path) -> None:
    """Syncs every file and folder below `folder`, and itself. At the same time: a file system with a journal writes this once for all that wait for it."""
    paths = list(folder.rglob("*"))
    files = [path for path in paths if path.is_file() and not path.is_symlink()]
    with ThreadPoolExecutor(_SYNCED_AT_ONCE) as threads:
        list(threads.map(_sync, files))
    for path in (*(path for path in paths if path.is_dir() and not path.is_symlink()), folder):
        sync_folder(path)


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())
