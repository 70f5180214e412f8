"""Which code cuts, told by the content of its source files: the number of a version does not see an edit.

A part says what code cut it. It is not cut again for another code, since that may differ by a comment, but it is said.
"""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

from hdgan.errors import BadInput
from hdgan.store.atomic import read_json
from hdgan.store.stage import MANIFEST, PROVENANCE

PACKAGES = ("slides", "store", "tiles")
"""Packages that decide the bytes of a part: what reads, what judges and cuts, what encodes and writes."""

UNKNOWN = ""
"""The code of a part that was cut before this was recorded, or by an installation without source files."""
_SHOWN = 12


@functools.cache
def code_hash() -> str:
    """sha256 of the names and texts of the source files of `PACKAGES`, whatever the ends of their lines; `UNKNOWN` where none are installed.

    A few milliseconds, once in a process; a process that was forked after that has it already.
    """
    return hash_sources(Path(__file__).parents[1], PACKAGES)


def hash_sources(root: Path, packages: tuple[str, ...]) -> str:
    """sha256 of the source files below `root` that belong to `packages`; `UNKNOWN` where there are none."""
    files = sorted((path.relative_to(root).as_posix(), path) for package in packages for path in (root / package).rglob("*.py"))
    sha = hashlib.sha256()
    for name, path in files:
        text = path.read_bytes().replace(b"\r\n", b"\n")
        sha.update(f"{name}\0{len(text)}\0".encode())
        sha.update(text)
    return sha.hexdigest() if files else UNKNOWN


def is_of_other_code(out: Path) -> bool:
    """Whether the tiles stage in `out` is finished and holds slides that were cut by other code than ours, or by unknown code."""
    if not (out / MANIFEST).exists():
        return False
    try:
        readers = read_json(out / PROVENANCE).get("readers", {})
        return {reader.get("code", UNKNOWN) for reader in readers.values()} != {code_hash()}
    except (BadInput, AttributeError):  # nothing says what cut it
        return True


def shown(code: str) -> str:
    """A code hash for messages."""
    return code[:_SHOWN] or "unknown"
