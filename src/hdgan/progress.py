"""How a long job tells where it stands, without knowing who listens.

A stage takes a `Progress` and calls it; the command line passes one that draws a bar with an estimate, a test passes
`SILENT`. Lives in the ground layer because every stage reports and none may print.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar, runtime_checkable

Item = TypeVar("Item")


class Progress(Protocol):
    """Receives the state of one task at a time."""

    def start(self, label: str, *, total: int, done: int = 0) -> None:
        """A task of `total` steps begins, `done` of them finished earlier."""

    def advance(self, steps: int = 1, *, note: str = "") -> None:
        """`steps` more are done; `note` is a short remark such as a loss."""

    def finish(self) -> None:
        """The task is over."""

    def say(self, line: str) -> None:
        """One line worth reading."""


@runtime_checkable
class Watched(Protocol):
    """A progress of work whose silence is taken for a hang."""

    def beat(self) -> None:
        """The work goes on, although no step is done yet."""


def beat(progress: Progress) -> None:
    """Says that the work goes on to whoever watches it; others hear nothing."""
    if isinstance(progress, Watched):
        progress.beat()


class Silent:
    """Listens to nothing."""

    def start(self, label: str, *, total: int, done: int = 0) -> None:
        """Ignored."""

    def advance(self, steps: int = 1, *, note: str = "") -> None:
        """Ignored."""

    def finish(self) -> None:
        """Ignored."""

    def say(self, line: str) -> None:
        """Ignored."""


SILENT = Silent()


def track(items: Iterable[Item], *, total: int, label: str, progress: Progress, done: int = 0) -> Iterator[Item]:
    """The items, one step of progress each."""
    progress.start(label, total=total, done=done)
    try:
        for item in items:
            yield item
            progress.advance()
    finally:
        progress.finish()
