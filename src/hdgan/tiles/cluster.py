"""Jobs on a Dask cluster, one task for each slide. Workers must see slides and run under the same paths and have this version of hdgan.

A task whose worker dies is given to another one by the scheduler, up to its own limit (`distributed.scheduler.allowed-failures`, 3).
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from hdgan.errors import BadConfig, BadInput, Interrupted
from hdgan.optional import require
from hdgan.progress import SILENT, Progress
from hdgan.tiles.crew import Crashed, Job, Outcome, Value, advance

LOCAL = "local"
EXTRA = "cluster"

_CONNECTS_WITHIN_S = 30


@contextmanager
def open_cluster(address: str, *, num_workers: int) -> Iterator[ClusterCrew]:
    """A crew on the cluster whose scheduler is at `address`; of `local`, on a new one of `num_workers` processes on this machine.

    Raises:
        MissingExtra: `distributed` is not installed.
        BadConfig: there is no scheduler at the address.
    """
    distributed: Any = require("distributed", extra=EXTRA)
    if address == LOCAL:
        options = {"n_workers": num_workers, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
        with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
            yield ClusterCrew(client)
        return
    try:
        client = distributed.Client(address, timeout=_CONNECTS_WITHIN_S)
    except (OSError, ValueError) as error:
        raise BadConfig("--scheduler", f"no Dask scheduler answers at {address} ({error})", "start one: dask scheduler") from error
    with client:
        yield ClusterCrew(client)


class ClusterCrew:
    """Does jobs on the workers of a Dask client."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def run(self, jobs: Sequence[Job[Value]], *, progress: Progress = SILENT) -> Iterator[Outcome[Value]]:
        """See `Crew.run`. Left before the end, it cancels what was not begun.

        Raises:
            HdganError: something that concerns every job, or the scheduler is lost.
            OSError: likewise.
        """
        distributed: Any = require("distributed", extra=EXTRA)
        mark = uuid.uuid4().hex  # results are files: nothing that the scheduler remembers may stand for them
        futures = {self.client.submit(_attempt, job, key=f"hdgan-{mark}-{i}", pure=False): i for i, job in enumerate(jobs)}
        try:
            for future in distributed.as_completed(list(futures)):
                index = futures[future]
                value, problem = self._result(future, jobs[index], progress)
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
            return None, Crashed(job.where, what, 'its reader crashes, or memory is short: leave it out (broken_slides = "skip")')
        if error is not None:
            raise error
        reply: _Reply = future.result()
        for line in reply.lines:
            progress.say(line)
        return reply.value, reply.problem


@dataclass
class _Reply:
    """What a worker sends back: the outcome and what it said. Listens as a `Progress`."""

    value: Any = None
    problem: BadInput | None = None
    lines: list[str] = field(default_factory=list)

    def start(self, label: str, *, total: int, done: int = 0) -> None:
        """Ignored."""

    def advance(self, steps: int = 1, *, note: str = "") -> None:
        """Ignored: a task is told when it is done."""

    def finish(self) -> None:
        """Ignored."""

    def say(self, line: str) -> None:
        """Keeps one line."""
        self.lines.append(line)


def _attempt(job: Job[Any]) -> _Reply:
    reply = _Reply()
    reply.value, reply.problem = job.attempt(reply)
    return reply
