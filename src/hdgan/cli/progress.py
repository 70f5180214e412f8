"""What a person sees while a stage works: a bar with an estimate on a terminal, plain lines in a log.

Both go to standard error, so that what a verb prints can be piped.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from hdgan.progress import Progress

LINE_EVERY_S = 20.0
"""Seconds between two plain lines of one task."""


@contextmanager
def showing(stream: TextIO | None = None) -> Iterator[Progress]:
    """A listener for as long as a verb works: a bar where `stream` (standard error) is a terminal, else plain lines."""
    stream = sys.stderr if stream is None else stream
    if not stream.isatty():
        yield PlainLines(stream)
        return
    bar = Bar(stream)
    try:
        yield bar
    finally:
        bar.finish()


class PlainLines:
    """One line when a task begins and ends, and one every `LINE_EVERY_S` seconds between."""

    def __init__(self, stream: TextIO, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._label = ""
        self._total = self._done = self._done_before = 0
        self._since = self._written = 0.0

    def start(self, label: str, *, total: int, done: int = 0) -> None:
        """A task of `total` steps begins, `done` of them finished earlier."""
        self._label, self._total, self._done, self._done_before = label, total, done, done
        self._since = self._written = self._clock()
        self.say(f"{label}: {total} to do" + (f", {done} done earlier" if done else ""))

    def advance(self, steps: int = 1, *, note: str = "") -> None:
        """`steps` more are done."""
        self._done += steps
        now = self._clock()
        if now - self._written < LINE_EVERY_S:
            return
        self._written = now
        elapsed = now - self._since
        left = elapsed * (self._total - self._done) / max(self._done - self._done_before, 1)
        text = f"{self._label}: {self._done} of {self._total}, {span(elapsed)} elapsed, about {span(max(left, 0.0))} left"
        self.say(text + (f", {note}" if note else ""))

    def finish(self) -> None:
        """The task is over."""
        if self._label:
            self.say(f"{self._label}: {self._done} of {self._total} in {span(self._clock() - self._since)}")
        self._label = ""

    def say(self, line: str) -> None:
        """One line."""
        self._stream.write(f"{line}\n")
        self._stream.flush()


class Bar:
    """A bar with count, elapsed time and an estimate of what is left."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", markup=False),
        )
        self._console = Console(file=stream)
        self._make: Callable[[], RichProgress] = lambda: RichProgress(
            *columns, console=self._console, redirect_stdout=False, redirect_stderr=False
        )
        self._bar: RichProgress | None = None

    def start(self, label: str, *, total: int, done: int = 0) -> None:
        """A task of `total` steps begins, `done` of them finished earlier."""
        self.finish()
        self._bar = self._make()
        self._bar.add_task(label, total=total, completed=done, note="")
        self._bar.start()

    def advance(self, steps: int = 1, *, note: str = "") -> None:
        """`steps` more are done."""
        if self._bar is not None:
            task = self._bar.task_ids[0]
            self._bar.advance(task, steps)
            if note:
                self._bar.update(task, note=note)

    def finish(self) -> None:
        """The task is over; its bar stays on the screen."""
        if self._bar is not None:
            self._bar.stop()
        self._bar = None

    def say(self, line: str) -> None:
        """One line, above the bar."""
        self._console.print(line, markup=False, highlight=False)


def span(seconds: float) -> str:
    """A duration as people say it: `8 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`."""
    whole = round(seconds)
    for unit, smaller, size, step in (("d", "h", 86400, 3600), ("h", "min", 3600, 60), ("min", "s", 60, 1)):
        if whole >= size:
            rest = whole % size // step
            return f"{whole // size} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{seconds:.1f} s" if 0 < seconds < 3 else f"{whole} s"
