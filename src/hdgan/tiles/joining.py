"""The tiles of all slides in one archive, joined beside other work: copying and hashing wait for the disk, and need no lock of Python's."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hdgan.store.archive import ARCHIVE, TileRow
from hdgan.store.hashing import hash_file
from hdgan.tiles import parts


@dataclass(frozen=True)
class Joined:
    """A finished archive."""

    rows: tuple[TileRow, ...]
    """Its index."""
    sha256: str
    """Hash of its bytes, read from the disk."""


@contextmanager
def joining(out: Path, slides: Sequence[str], *, fold_of: Mapping[str, int]) -> Iterator[Callable[[], Joined]]:
    """Joins the parts in `out` (see `parts.join_parts`) while the block runs, and gives a function that waits for it and returns the archive.

    A block that is left by an error, or without asking, ends the work at the next tile, and nothing of it stays.
    """
    from concurrent.futures import ThreadPoolExecutor  # only where something is joined

    is_left = threading.Event()

    def go_on() -> None:
        if is_left.is_set():
            raise _LeftError

    def join() -> Joined:
        rows = parts.join_parts(out, slides, fold_of=fold_of, beat=go_on)
        return Joined(rows, hash_file(out / ARCHIVE, beat=go_on))

    with ThreadPoolExecutor(1) as thread:
        joined = thread.submit(join)
        try:
            yield joined.result
        finally:
            is_left.set()


class _LeftError(Exception):
    """Nobody waits for the archive any more."""
