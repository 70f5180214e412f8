"""Which files of a folder are one DICOM slide: a level is a file, and those of one slide have the same SeriesInstanceUID.

OpenSlide opens the whole series from any file of it, among all files of the folder, whatever they are called. Only the header up to that number
is read here (DICOM PS3.5, section 7, and PS3.10, section 7); it is compared and never shown.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

_MARK_AT, _MARK = 128, b"DICM"
_META_LENGTH, _TRANSFER_SYNTAX, _SERIES = (0x0002, 0x0000), (0x0002, 0x0010), (0x0020, 0x000E)
_ITEM, _ITEM_END, _SEQUENCE_END = (0xFFFE, 0xE000), (0xFFFE, 0xE00D), (0xFFFE, 0xE0DD)
_IMPLICIT = b"1.2.840.10008.1.2"
_LONG = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
"""Kinds of values whose length takes four bytes."""
_OPEN_END = 0xFFFFFFFF
_LONGEST_UID = 64
_MOST_ELEMENTS = 10_000


def series_of(path: Path) -> str:
    """The SeriesInstanceUID of a DICOM file; empty where it is none, cannot be read or states none."""
    try:
        about = path.stat()
        return _series(str(path.absolute()), about.st_size, about.st_mtime_ns, about.st_ino)
    except OSError:
        return ""


def series_files(path: Path) -> list[Path]:
    """The files beside `path` that are of its series, itself among them, by name; empty where it is of none.

    Raises:
        OSError: the folder cannot be listed.
    """
    series = series_of(path)
    if not series:
        return []
    return [file for file in sorted(path.parent.iterdir()) if file.is_file() and series_of(file) == series]


@lru_cache(maxsize=1 << 16)
def _series(path: str, size: int, _changed_ns: int, _inode: int) -> str:
    """As `series_of`, once in this process for a file that is not changed: each slide of a folder asks for all its files."""
    if size <= _MARK_AT:
        return ""
    with Path(path).open("rb") as file:
        file.seek(_MARK_AT)
        if file.read(len(_MARK)) != _MARK:
            return ""
        syntax, start = _syntax_and_start(file)
        file.seek(start)
        for tag, length in _elements(file, is_implicit=syntax == _IMPLICIT):
            if tag >= _SERIES:
                return _uid(file, length).decode("ascii", "replace") if tag == _SERIES else ""
    return ""


def _syntax_and_start(file: BinaryIO) -> tuple[bytes, int]:
    """How the data set is written, and its first byte; the end of the file where its beginning does not say."""
    start = 0
    for tag, length in _elements(file, is_implicit=False):
        if tag == _META_LENGTH and length == 4:
            start = int.from_bytes(file.read(4), "little") + file.tell()
        elif tag == _TRANSFER_SYNTAX and start:
            return _uid(file, length), start
        elif tag > _TRANSFER_SYNTAX:
            break
    return b"", file.seek(0, os.SEEK_END)


def _elements(file: BinaryIO, *, is_implicit: bool) -> Iterator[tuple[tuple[int, int], int]]:
    """Tag and bytes of each element that is in no other, with `file` at its value, to the end of the file; of those whose end is open, and
    what is in them, nothing. `is_implicit` says whether kinds of values are left out.
    """
    inner: list[bool] = []
    """Of each sequence and item that is open, the innermost last: `is_implicit`."""
    for _ in range(_MOST_ELEMENTS):
        head = file.read(8)
        if len(head) < 8:
            return
        tag = (int.from_bytes(head[:2], "little"), int.from_bytes(head[2:4], "little"))
        kind, length = b"", int.from_bytes(head[4:], "little")
        if tag[0] != _ITEM[0] and not (inner[-1] if inner else is_implicit):
            kind, length = head[4:6], int.from_bytes(head[6:], "little")
            if kind in _LONG:
                length = int.from_bytes(file.read(4), "little")
        if tag in (_ITEM_END, _SEQUENCE_END):
            inner = inner[:-1]
        elif length == _OPEN_END:
            inner.append(
                (inner[-1] if inner else is_implicit) or kind == b"UN"
            )  # what is of unknown kind names no kinds inside (PS3.5, 6.2.2)
        else:
            after = file.tell() + length
            if not inner:
                yield tag, length
            file.seek(after)


def _uid(file: BinaryIO, length: int) -> bytes:
    """A unique identifier without what pads it to an even length; empty where the file ends inside it, or it is none."""
    value = file.read(length) if length <= _LONGEST_UID else b""
    return value.rstrip(b"\0 ") if len(value) == length else b""
