"""Jobs on a Dask cluster, one task for each slide. Workers must see slides and run under the same paths and have this version of hdgan.

A task whose worker dies is given to another one by the scheduler, up to its own limit (`distributed.scheduler.allowed-failures`, 3). A worker whose
task makes no progress for too long ends itself, so that a reader that hangs goes the way of one that crashes.
"""

from __future__ import annotations

import faulthandler
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from hdgan.errors import BadConfig, BadInput, Interrupted
from hdgan.optional import require
from hdgan.progress import SILENT, Progress
from hdgan.tiles.crew import Crashed, Job, Outcome, Value, advance
from hdgan.tiles.pool import MAX_SILENCE_S

LOCAL = "local"
EXTRA = "cluster"

_CONNECTS_WITHIN_S = 30


@contextmanager
def open_cluster(address: str, *, num_workers: int, max_silence_s: float = MAX_SILENCE_S) -> Iterator[ClusterCrew]:
    """A crew on the cluster whose scheduler is at `address`; of `local`, on a new one of `num_workers` processes on this machine.

    A worker whose job makes no progress for `max_silence_s` seconds ends.

    Raises:
        MissingExtra: `distributed` is not installed.
        BadConfig: there is no scheduler at the address.
    """
    distributed: Any = require("distributed", extra=EXTRA)
    if address == LOCAL:
        options = {"n_workers": num_workers, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
        with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
            yield ClusterCrew(client, max_silence_s=max_silence_s)
        return
    try:
        client = distributed.Client(address, timeout=_CONNECTS_WITHIN_S)
    except (OSError, ValueError) as error:
        raise BadConfig("--scheduler", f"no Dask scheduler answers at {address} ({error})", "start one: dask scheduler") from error
    with client:
        yield ClusterCrew(client, max_silence_s=max_silence_s)


class ClusterCrew:
    """Does jobs on the workers of a Dask client."""

    def __init__(self, client: Any, *, max_silence_s: float = MAX_SILENCE_S) -> None:
        self.client = client
        self.max_silence_s = max_silence_s

    def run(self, jobs: Sequence[Job[Value]], *, progress: Progress = SILENT) -> Iterator[Outcome[Value]]:
        """See `Crew.run`. Left before the end, it cancels what was not begun.

        Raises:
            HdganError: something that concerns every job, or the scheduler is lost.
            OSError: likewise.
        """
        distributed: Any = require("distributed", extra=EXTRA)
        mark = uuid.uuid4().hex  # results are files: nothing that the scheduler remembers may stand for them
        futures = {
            self.client.submit(_attempt, job, self.max_silence_s, key=f"hdgan-{mark}-{i}", pure=False): i for i, job in enumerate(jobs)
        }
        if not self.client.nthreads():
            progress.say("no worker has joined the Dask scheduler yet: waiting for the first; if none comes, their logs say why")
        try:
            for future in distributed.as_completed(list(futures)):
                index = futures.pop(future)
                value, problem = self._result(future, jobs[index], progress)
                del future  # the scheduler forgets it: what is still wanted when its worker leaves would be done again
                advance(progress, jobs[index].steps)
                yield Outcome(index, value, problem)
        finally:
            self.client.cancel(list(futures))

    def _result(self, future: Any, job: Job[Any], progress: Progress) -> tuple[Any, BadInput | None]:
        distributed: Any = require("distributed", extra=EXTRA)
        if future.status == "cancelled":
            raise Interrupted("the Dask scheduler is lost; the same command goes on from here")
        error = future.exception()
        if isinstance(error, distributed.KilledWorker):
            what = f"{error.allowed_failures + 1} workers died over it"
            why = f"its reader crashes or says nothing for {self.max_silence_s:g} s, or memory is short"
            return None, Crashed(job.where, what, f'{why}: leave it out (broken_slides = "skip")')
        if error is not None:
            raise error
        reply: _Reply = future.result()
        for line in reply.lines:
            progress.say(line)
        return reply.value, reply.problem


@dataclass
class _Reply:
    """What a worker sends back: the outcome and what it said. Listens as a `Progress`; each sign of life puts the worker's end off."""

    value: Any = None
    problem: BadInput | None = None
    lines: list[str] = field(default_factory=list)
    max_silence_s: float = MAX_SILENCE_S

    def start(self, label: str, *, total: int, done: int = 0) -> None:
        """Ignored."""

    def advance(self, steps: int = 1, *, note: str = "") -> None:  # noqa: ARG002 - as every listener
        """A sign of life: a task is told when it is done."""
        self.beat()

    def finish(self) -> None:
        """Ignored."""

    def say(self, line: str) -> None:
        """Keeps one line."""
        self.lines.append(line)

    def beat(self) -> None:
        """The work goes on: the process has as much time again. The timer is the interpreter's own, which a library that holds its lock cannot stop."""
        faulthandler.dump_traceback_later(self.max_silence_s, exit=True, file=_STDERR)


_STDERR = 2
_at_work: set[int] = set()
"""Threads of this process that do a task: the timer is one for all of them."""


def _attempt(job: Job[Any], max_silence_s: float) -> _Reply:
    reply = _Reply(max_silence_s=max_silence_s)
    _at_work.add(threading.get_ident())
    reply.beat()
    try:
        reply.value, reply.problem = job.attempt(reply)
    finally:
        _at_work.discard(threading.get_ident())
        if not _at_work:
            faulthandler.cancel_dump_traceback_later()
    return reply
