"""Large .npy arrays: written piece by piece into room that was taken beforehand, with a checksum for each block, and memory-mapped when read.

A full disk is an error when an array is begun. Nothing is written through a mapping, where it would end the process. While an array is
written it has a temporary name.
"""

from __future__ import annotations

import errno
import io
import os
import tokenize
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.lib.format import read_array_header_1_0, read_magic, write_array_header_1_0

from hdgan.errors import DamagedArtifact
from hdgan.store.atomic import replacing

BLOCK_BYTES = 4 * 2**20
"""Bytes of values that share a checksum."""
_REMEDY = "make its stage again with --redo"
_NO_PREALLOCATION = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)


def write_array(path: Path, shape: tuple[int, ...], dtype: np.typing.DTypeLike, pieces: Iterable[np.ndarray]) -> tuple[int, ...]:
    """The CRC-32 of each block of the array `shape` that `path` then holds: `pieces` one after the other, in C order.

    Raises:
        OutOfSpace: the disk cannot hold it; nothing is left behind.
        ValueError: the pieces are not as many values as `shape`.
    """
    kind = np.dtype(dtype)
    header = io.BytesIO()
    write_array_header_1_0(header, {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": shape})
    num_bytes = int(np.prod(shape, dtype=np.int64)) * kind.itemsize
    sums = _Checksums()
    with replacing(path) as temporary, temporary.open("wb", buffering=0) as file:
        _take_room(file.fileno(), len(header.getvalue()) + num_bytes)
        _write(file, header.getbuffer())
        for piece in pieces:
            held = np.ascontiguousarray(piece, dtype=kind).data.cast("B")
            sums.add(held)
            _write(file, held)
        if sums.num_bytes != num_bytes:
            raise ValueError(f"{path}: {sums.num_bytes} bytes were given for an array of {num_bytes}")
    return sums.finish()


def open_array(path: Path, *, is_private: bool = False) -> np.memmap:
    """The array at `path`, read-only; with `is_private` writes are allowed and stay in memory (torch asks for that).

    Raises:
        DamagedArtifact: it is missing, shorter or longer than its header says, or no .npy file.
    """
    try:
        array = np.load(path, mmap_mode="c" if is_private else "r", allow_pickle=False)
    except (OSError, EOFError, ValueError, TypeError, OverflowError, SyntaxError, tokenize.TokenError) as error:
        raise DamagedArtifact(path, f"cannot be opened as an array ({error})", _REMEDY) from error
    if not isinstance(array, np.memmap) or array.size == 0 or array.offset + array.nbytes != path.stat().st_size:
        raise DamagedArtifact(path, "is no array of ours", _REMEDY)
    return array


def check_array(path: Path, checksums: Sequence[int]) -> None:
    """Reads the array at `path` once, without mapping it, and compares its blocks with `checksums`.

    Raises:
        DamagedArtifact: it is missing or no array, or a block has changed; names the first.
    """
    found = _Checksums()
    try:
        with path.open("rb", buffering=0) as file:
            if read_magic(file) != (1, 0):
                raise ValueError("of another version")
            read_array_header_1_0(file)
            buffer = memoryview(bytearray(BLOCK_BYTES))
            while num := file.readinto(buffer):
                found.add(buffer[:num])
    except (OSError, EOFError, ValueError, TypeError, SyntaxError, tokenize.TokenError) as error:
        raise DamagedArtifact(path, f"cannot be opened as an array ({error})", _REMEDY) from error
    sums = found.finish()
    if sums != tuple(checksums):
        differing = next((i for i, (a, b) in enumerate(zip(sums, checksums, strict=False)) if a != b), min(len(sums), len(checksums)))
        raise DamagedArtifact(path, f"block {differing} of {len(checksums)} has changed since it was written", _REMEDY)


class _Checksums:
    """CRC-32 of each block of a stream of bytes."""

    def __init__(self) -> None:
        self.num_bytes = 0
        self._done: list[int] = []
        self._open = 0

    def add(self, data: memoryview) -> None:
        """The next bytes."""
        while len(data):
            part = data[: BLOCK_BYTES - self.num_bytes % BLOCK_BYTES]
            self._open = zlib.crc32(part, self._open)
            self.num_bytes += len(part)
            if self.num_bytes % BLOCK_BYTES == 0:
                self._done.append(self._open)
                self._open = 0
            data = data[len(part) :]

    def finish(self) -> tuple[int, ...]:
        """All of them, the last block being what is left."""
        return (*self._done, *([self._open] if self.num_bytes % BLOCK_BYTES else []))


def _take_room(handle: int, num_bytes: int) -> None:
    """Fails at once where the disk is too full; where the file system has no such call, the writing fails instead."""
    if not hasattr(os, "posix_fallocate"):
        return
    try:
        os.posix_fallocate(handle, 0, num_bytes)
    except OSError as error:
        if error.errno not in _NO_PREALLOCATION:
            raise


def _write(file: io.FileIO, data: memoryview) -> None:
    """All of `data`: one call may write less."""
    while len(data):
        data = data[file.write(data) or 0 :]
