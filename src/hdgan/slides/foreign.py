"""What a file is that no reader takes for a slide, told from its first bytes, so that the refusal says what happened to it."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO, Literal

from hdgan.errors import BadInput

RECOPY = "copy it again from its source, or leave it out"

_HEAD_BYTES = 4096
_KINDS = (
    (b"\x89PNG", "a PNG image", "give it the suffix .png"),
    (b"\xff\xd8\xff", "a JPEG image", "give it the suffix .jpg"),
    (b"PK\x03\x04", "a ZIP archive", "unpack it"),
    (b"\x1f\x8b", "a gzip archive", "unpack it"),
    (b"%PDF", "a PDF document", "leave it out"),
)
_MOST_DIRECTORIES = 1000
_TEXT = bytes(range(32, 127)) + b"\t\r\n\f"
INDEX_FILES = (".vms", ".vmu")
"""Slides whose file is text that names others."""
_PAGES = (b"<!doctype html", b"<html")


def foreign(path: Path) -> BadInput | None:
    """The refusal of a file that is something else, or was cut off; None where its bytes do not say."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
            beyond = _directory_beyond(file, path.stat().st_size)
    except OSError as error:
        return BadInput(path, f"cannot be read ({error.strerror})", "check its permissions")
    suffix = path.suffix.lower()
    if suffix == ".mrxs" and not path.with_suffix("").is_dir():
        return BadInput(path, f"lacks the folder of its data, {path.stem}, beside it", "copy both together, or leave it out")
    if beyond is not None:
        return BadInput(path, f"is cut off: it has {path.stat().st_size:,} bytes, and goes on at byte {beyond:,}", RECOPY)
    for start, kind, remedy in _KINDS:
        if head.startswith(start) and suffix not in (remedy.rpartition(" ")[2], ".mrxs"):
            return BadInput(path, f"is {kind}, not a slide", remedy)
    if head.lstrip().lower().startswith(_PAGES):
        return BadInput(path, "is a web page, not a slide: a download that was refused", "download it again")
    if not head.strip(b"\0"):
        return BadInput(path, "begins with zeros only: a copy that was never finished", RECOPY)
    if head.isascii() and not head.translate(None, _TEXT) and suffix not in INDEX_FILES:
        return BadInput(path, "is a text file, not a slide", RECOPY)
    return None


def _directory_beyond(file: BinaryIO, size: int) -> int | None:
    """Where a directory of a TIFF should stand that lies behind the end of the file; None where all are inside, and of another file."""
    file.seek(0)
    head = file.read(16)
    order: Literal["little", "big"] = "little" if head[:2] == b"II" else "big"
    magic = int.from_bytes(head[2:4], order)
    if head[:2] not in (b"II", b"MM") or magic not in (42, 43) or len(head) < 16:
        return None
    width, count_bytes, entry_bytes = (8, 8, 20) if magic == 43 else (4, 2, 12)
    place = int.from_bytes(head[width : 2 * width], order)
    for _ in range(_MOST_DIRECTORIES):
        if place == 0:
            return None
        if place + count_bytes > size:
            return place
        file.seek(place)
        link = place + count_bytes + entry_bytes * int.from_bytes(file.read(count_bytes), order)
        if link + width > size:
            return link
        file.seek(link)
        place = int.from_bytes(file.read(width), order)
    return None
