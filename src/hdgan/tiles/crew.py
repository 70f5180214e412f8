"""Who does the jobs of the tiles stage: this process, processes of its own, or a cluster. A job is about one slide, and one bad slide costs one slide.

A job that fails gives an outcome with its problem, and the others go on. What concerns all of them (a full disk, a lost folder, a signal)
ends the run of jobs with the error itself.
"""

from __future__ import annotations

import logging
import os
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from hdgan.errors import BadInput, HdganError
from hdgan.progress import SILENT, Progress

Value = TypeVar("Value")

logger = logging.getLogger(__name__)


class Crashed(BadInput):
    """The process that did a job for a slide was ended by it, each time."""


@dataclass(frozen=True)
class Job(Generic[Value]):
    """A call that can be pickled: `work(*arguments, progress=...)`."""

    where: str
    """The file that it is about, for messages."""
    work: Callable[..., Value]
    arguments: tuple[Any, ...]
    steps: int = 0
    """Steps of progress that it counts for."""

    def attempt(self, progress: Progress) -> tuple[Value | None, BadInput | None]:
        """Its value, or what is wrong with the slide.

        Raises:
            HdganError: something that concerns every job, such as a full disk.
            OSError: likewise.
        """
        try:
            return self.work(*self.arguments, progress=progress), None
        except BadInput as error:
            return None, error
        except (HdganError, OSError):
            raise
        except Exception as error:  # noqa: BLE001 - whatever a library raises on a slide, it costs that slide
            logger.info("%s", traceback.format_exc())
            place = traceback.extract_tb(error.__traceback__)[-1]
            what = f"fails in an unforeseen way ({error!r} at {Path(place.filename).name}:{place.lineno})"
            return None, BadInput(self.where, what, 'leave it out (broken_slides = "skip"), and please report this')


@dataclass(frozen=True)
class Outcome(Generic[Value]):
    """What became of a job."""

    index: int
    """Its place among the jobs."""
    value: Value | None
    problem: BadInput | None
    """Why there is no value."""


class Crew(Protocol):
    """Does jobs."""

    def run(self, jobs: Sequence[Job[Value]], *, progress: Progress = SILENT) -> Iterator[Outcome[Value]]:
        """The outcome of each job, as they are done, in any order.

        Raises:
            HdganError: something that concerns every job.
            OSError: likewise.
        """


class InlineCrew:
    """Does the jobs in this process, one after the other: for debugging, and for what needs no protection. A reader that crashes ends it."""

    def run(self, jobs: Sequence[Job[Value]], *, progress: Progress = SILENT) -> Iterator[Outcome[Value]]:
        """See `Crew.run`; the outcomes are in the order of the jobs."""
        for index, job in enumerate(jobs):
            listener = Counting(progress)
            value, problem = job.attempt(listener)
            advance(progress, job.steps - listener.num_steps)
            yield Outcome(index, value, problem)


INLINE = InlineCrew()


class Counting:
    """Passes steps and lines on, not the beginning and the end, and counts the steps."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.num_steps = 0

    def start(self, label: str, *, total: int, done: int = 0) -> None:
        """Ignored: the jobs together are one task."""

    def advance(self, steps: int = 1, *, note: str = "") -> None:
        """`steps` more are done."""
        self.num_steps += steps
        self._progress.advance(steps, note=note)

    def finish(self) -> None:
        """Ignored."""

    def say(self, line: str) -> None:
        """One line."""
        self._progress.say(line)


def advance(progress: Progress, steps: int, *, note: str = "") -> None:
    """Tells of `steps`, if there are any: jobs without are done while no task is shown."""
    if steps:
        progress.advance(steps, note=note)


def in_order(outcomes: Iterator[Outcome[Value]]) -> list[Outcome[Value]]:
    """All outcomes, in the order of their jobs."""
    return sorted(outcomes, key=lambda outcome: outcome.index)


def num_cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
