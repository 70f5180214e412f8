"""Memory-mapped .npy arrays that are preallocated: a full disk is an error when they are made, never a bus error later.

While an array is filled it has a temporary name; `finish_array` gives it its own.
"""

from __future__ import annotations

import os
import tokenize
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap

from hdgan.errors import DamagedArtifact
from hdgan.store.atomic import TEMPORARY_MARK, raise_if_full, sync_folder


def create_array(path: Path, shape: tuple[int, ...], dtype: np.typing.DTypeLike) -> np.memmap:
    """A writable array of zeros that becomes the file `path` by `finish_array`.

    Raises:
        OutOfSpace: the disk cannot hold it; nothing is left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f"{TEMPORARY_MARK}{path.name}"
    try:
        array = open_memmap(temporary, mode="w+", dtype=np.dtype(dtype), shape=shape)
        if hasattr(os, "posix_fallocate"):
            handle = os.open(temporary, os.O_RDWR)
            try:
                os.posix_fallocate(handle, 0, temporary.stat().st_size)
            finally:
                os.close(handle)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise_if_full(error, path)
        raise
    return array


def finish_array(array: np.memmap) -> Path:
    """Writes everything to the disk and gives the array its name; the path."""
    array.flush()
    temporary = Path(str(array.filename))
    path = temporary.parent / temporary.name.removeprefix(TEMPORARY_MARK)
    with temporary.open("rb+") as file:
        os.fsync(file.fileno())
    os.replace(temporary, path)
    sync_folder(path.parent)
    return path


def open_array(path: Path, *, is_private: bool = False) -> np.memmap:
    """The array at `path`, read-only; with `is_private` writes are allowed and stay in memory (torch asks for that).

    Raises:
        DamagedArtifact: it is missing, shorter or longer than its header says, or no .npy file.
    """
    try:
        array = np.load(path, mmap_mode="c" if is_private else "r", allow_pickle=False)
    except (OSError, EOFError, ValueError, TypeError, OverflowError, SyntaxError, tokenize.TokenError) as error:
        raise DamagedArtifact(path, f"cannot be opened as an array ({error})", "make its stage again with --redo") from error
    if not isinstance(array, np.memmap) or array.size == 0 or array.offset + array.nbytes != path.stat().st_size:
        raise DamagedArtifact(path, "is no array of ours", "make its stage again with --redo")
    return array
