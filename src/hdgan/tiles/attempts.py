"""Attempts to cut a share that something else ended, such as a time limit: where several in a row finished no slide, another as long would not either.

How many there were stands beside the parts. Opening the slides and hashing them is a part of an attempt: it may take all of its time.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hdgan.errors import BadInput, HdganError, Interrupted
from hdgan.store.atomic import read_json, write_json
from hdgan.store.stage import MANIFEST
from hdgan.tiles.parts import STATUS

MOST_FRUITLESS = 3
_LEAST_S = 600.0
"""An attempt that was shorter says nothing where no limit is known; where one is, half of it counts: what ends a job earlier is preemption."""


@contextmanager
def counting_attempts(note: Path, slides: Sequence[str], *, share: str, limit_s: float | None) -> Iterator[None]:
    """Within it the parts of `slides`, which are the share called `share`, are planned and cut in the folder of `note`, a JSON file that counts
    attempts; `limit_s` is the time limit of each, None where it is not known.

    Raises:
        HdganError: in the place of `Interrupted`, when this was one attempt too many that finished no slide.
    """
    began, before = time.monotonic(), _finished(note.parent, slides)
    try:
        yield
    except Interrupted as error:
        took_s = time.monotonic() - began
        if _finished(note.parent, slides) != before:
            note.unlink(missing_ok=True)
        elif took_s >= (_LEAST_S if limit_s is None else limit_s / 2):
            _count(note, share, took_s, error)
        raise
    note.unlink(missing_ok=True)


def _count(note: Path, share: str, took_s: float, error: Interrupted) -> None:
    num = _fruitless(note) + 1
    if not note.parent.exists():
        if (note.parent.parent / MANIFEST).exists():  # nothing is made in a stage that is finished
            return
        note.parent.mkdir(parents=True, exist_ok=True)  # ended before the first part was begun
    if num < MOST_FRUITLESS:
        write_json(note, {"fruitless": num})
        return
    note.unlink(missing_ok=True)  # whoever gives more time begins anew
    what = f"share {share} was ended {num} times in a row before a slide was finished, now after {took_s / 60:.0f} minutes"
    raise HdganError(f"{note.parent.parent}: {what}; ask for more time (--time in the job file), and hand it in again") from error


def _fruitless(note: Path) -> int:
    try:
        return int(read_json(note)["fruitless"])
    except (BadInput, KeyError, TypeError, ValueError):  # none yet
        return 0


def _finished(folder: Path, slides: Sequence[str]) -> dict[str, int]:
    """When each slide that has a part was finished."""
    statuses = {slide: folder / slide / STATUS for slide in slides}
    return {slide: status.stat().st_mtime_ns for slide, status in statuses.items() if status.exists()}
