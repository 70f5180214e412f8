"""What a person sees while a stage works: a bar with an estimate on a terminal, plain lines in a log.

Both go to standard error, so that what a verb prints can be piped.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

from hdgan.progress import Progress

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

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
        bar.close()


@dataclass
class _Task:
    """A task that was begun; one may begin inside of another, which then waits."""

    label: str
    total: int
    done: int
    done_before: int
    since: float
    written: float


class PlainLines:
    """One line when a task begins and ends, and one every `LINE_EVERY_S` seconds between."""

    def __init__(self, stream: TextIO, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._tasks: list[_Task] = []

    def start(self, label: str, *, total: int, done: int = 0) -> None:
        """A task of `total` steps begins, `done` of them finished earlier."""
        now = self._clock()
        self._tasks.append(_Task(label, total, done, done, since=now, written=now))
        self.say(f"{label}: {total} to do" + (f", {done} done earlier" if done else ""))

    def advance(self, steps: int = 1, *, note: str = "") -> None:
        """`steps` more are done."""
        if not self._tasks:
            return
        task, now = self._tasks[-1], self._clock()
        task.done += steps
        if now - task.written < LINE_EVERY_S:
            return
        task.written = now
        elapsed = now - task.since
        left = elapsed * (task.total - task.done) / max(task.done - task.done_before, 1)
        text = f"{task.label}: {task.done} of {task.total}, {span(elapsed)} elapsed, about {span(max(left, 0.0))} left"
        self.say(text + (f", {note}" if note else ""))

    def finish(self) -> None:
        """The task is over; the one that it began in goes on."""
        if self._tasks:
            task = self._tasks.pop()
            self.say(f"{task.label}: {task.done} of {task.total} in {span(self._clock() - task.since)}")

    def say(self, line: str) -> None:
        """One line."""
        self._stream.write(f"{line}\n")
        self._stream.flush()


class Bar:
    """A bar with count, elapsed time and an estimate of what is left."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as OneBar

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
        self._make: Callable[[], RichProgress] = lambda: OneBar(
            *columns, console=self._console, redirect_stdout=False, redirect_stderr=False
        )
        self._bars: list[RichProgress] = []

    def start(self, label: str, *, total: int, done: int = 0) -> None:
        """A task of `total` steps begins, `done` of them finished earlier."""
        if self._bars:  # two cannot be drawn at once: the outer one waits
            self._bars[-1].stop()
        self._bars.append(self._make())
        self._bars[-1].add_task(label, total=total, completed=done, note="")
        self._bars[-1].start()

    def advance(self, steps: int = 1, *, note: str = "") -> None:
        """`steps` more are done."""
        if self._bars:
            bar = self._bars[-1]
            bar.advance(bar.task_ids[0], steps)
            if note:
                bar.update(bar.task_ids[0], note=note)

    def finish(self) -> None:
        """The task is over; its bar stays on the screen, and the one that it began in goes on."""
        if self._bars:
            self._bars.pop().stop()
        if self._bars:
            self._bars[-1].start()

    def close(self) -> None:
        """No task goes on."""
        if self._bars:
            self._bars.pop().stop()
        self._bars.clear()

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
