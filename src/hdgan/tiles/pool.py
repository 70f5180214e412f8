"""Jobs in child processes, so that a reader that crashes (a C library on a damaged slide) costs its slide and not the run.

A worker that dies is replaced. Its job is tried once more, after all others: where memory was short, it then has most for itself. One that says
nothing for too long, not a tile and not a step of an overview, hangs: it is killed, and goes the same way. They end with their parent, however it
ends.

Workers are spawned, so that no lock that a thread of the parent holds is copied. Only where no other thread is there to hold one, on Linux, are those
of the first jobs forked: they have all modules at once, and a small slide is cut before a spawned one would have imported them.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from types import ModuleType, TracebackType
from typing import Any, Literal

import numpy as np

from hdgan.errors import BadInput, HdganError
from hdgan.progress import SILENT, Progress
from hdgan.tiles.crew import Crashed, Job, Outcome, Value, advance

NUM_TRIES = 2
"""Times that a job is begun before a worker's death is blamed on its slide."""

MAX_SILENCE_S = 300.0
"""A read of one tile takes seconds; a file server that is slow may take minutes."""

_STARTS_WITHIN_S = 60.0
"""Least time in which a new process, or the first job of one, may be silent: it imports libraries."""
_TELL_EVERY_S = 0.2
_LISTEN_S = 1.0
_ENDS_WITHIN_S = 10.0
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's `mallopt`, by their numbers in <malloc.h>."""
_NOT_TO_BE_FORKED = ("torch", "distributed")
"""Modules with threads of their own, which a fork would cut off."""


class ProcessCrew:
    """Does jobs in up to `num_workers` processes, which start when there is something to do. A context manager; leaving it ends them at once.

    A worker whose job makes no progress for `max_silence_s` seconds is killed.
    """

    def __init__(self, num_workers: int, *, max_silence_s: float = MAX_SILENCE_S) -> None:
        self.num_workers = num_workers
        self.max_silence_s = max_silence_s
        self._workers: list[_Worker] = []
        self._is_new = True

    def __enter__(self) -> ProcessCrew:
        """The crew."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Ends the workers, whatever they are doing."""
        self._dismiss(self._workers)

    def run(self, jobs: Sequence[Job[Value]], *, progress: Progress = SILENT) -> Iterator[Outcome[Value]]:
        """See `Crew.run`. Left before the end, it ends the workers that are still busy.

        Raises:
            HdganError: a worker could not start, or something that concerns every job.
            OSError: something that concerns every job.
        """
        waiting = deque(_Task(index, job) for index, job in enumerate(jobs))
        try:
            while waiting or any(worker.task for worker in self._workers):
                self._hire(len(waiting))
                self._hand_out(waiting)
                for worker in self._listen():
                    outcome = self._hear(worker, waiting, progress)
                    if outcome is not None:
                        yield outcome
        finally:
            self._is_new = False  # from now on the caller may hold files and locks that no child should keep
            self._dismiss([worker for worker in self._workers if worker.task])

    def _hire(self, num_waiting: int) -> None:
        num_busy = sum(worker.task is not None for worker in self._workers)
        while len(self._workers) < min(self.num_workers, num_busy + num_waiting):
            self._workers.append(_hired("fork" if self._is_new and _is_alone() else "spawn"))

    def _hand_out(self, waiting: deque[_Task]) -> None:
        for worker in self._workers:
            if waiting and worker.is_ready and worker.task is None:
                worker.task = waiting.popleft()
                with suppress(OSError):  # it has died: the end of its pipe says so next
                    worker.pipe.send(worker.task.job)

    def _listen(self) -> list[_Worker]:
        """The workers that said something or ended, after a while at most; those that were silent for too long are killed, and end."""
        patience = min(_LISTEN_S, self.max_silence_s / 4)
        began = time.monotonic()
        heard = wait([worker.pipe for worker in self._workers], timeout=patience)
        # Time counts while we listen: what another program, Ctrl-Z or a sleeping machine takes from us is no silence of theirs.
        listened = min(time.monotonic() - began, 2 * patience)
        for worker in self._workers:
            worker.silent_s = 0.0 if worker.pipe in heard or worker.is_idle else worker.silent_s + listened
            if worker.silent_s > (self.max_silence_s if worker.has_begun else self._starts_within_s) and not worker.is_hung:
                worker.is_hung = True
                worker.process.kill()
        return [worker for worker in self._workers if worker.pipe in heard]

    @property
    def _starts_within_s(self) -> float:
        return max(self.max_silence_s, _STARTS_WITHIN_S)

    def _hear(self, worker: _Worker, waiting: deque[_Task], progress: Progress) -> Outcome[Any] | None:
        """Takes one message of a worker; the outcome of its task, if that is over."""
        try:
            kind, *said = _received(worker.pipe)
        except (EOFError, OSError):
            return self._buried(worker, waiting, progress)
        task = worker.task
        if kind == "ready":
            worker.is_ready = True
        elif kind == "beat":
            worker.has_begun = True
        elif kind == "say":
            progress.say(said[0])
        elif kind == "raised":
            raise said[0]
        elif task is not None:
            steps, note = said if kind == "advance" else (task.job.steps - task.num_steps, "")
            advance(progress, steps, note=note)
            task.num_steps += steps
            if kind == "done":
                worker.task = None
                return Outcome(task.index, *said)
        return None

    def _buried(self, worker: _Worker, waiting: deque[_Task], progress: Progress) -> Outcome[Any] | None:
        """Removes a worker that died; the outcome of its task, if that was the last try."""
        worker.process.join(_ENDS_WITHIN_S)
        code, task = worker.process.exitcode, worker.task
        worker.task = None
        self._dismiss([worker])
        if not worker.is_ready and (worker.is_hung or (code is not None and code >= 0)):
            why = f"it said nothing for {self._starts_within_s:g} s" if worker.is_hung else f"it ended with {code}"
            raise HdganError(f"a worker process could not start ({why}); tiles.workers = 0 does without")
        if task is None:
            return None
        task.num_tries += 1
        advance(progress, -task.num_steps)
        task.num_steps = 0
        death, remedy = (self._silence(), HANG_REMEDY) if worker.is_hung else (_death(code), _remedy(code))
        if task.num_tries < NUM_TRIES:
            progress.say(f"{task.job.where}: {death}; it is tried once more")
            waiting.append(task)
            return None
        advance(progress, task.job.steps)
        return Outcome(task.index, None, Crashed(task.job.where, f"{death}, {task.num_tries} times", remedy))

    def _silence(self) -> str:
        return f"the process that read it made no progress for {self.max_silence_s:g} s and was ended"

    def _dismiss(self, workers: Sequence[_Worker]) -> None:
        """Ends these workers at once."""
        leaving = list(workers)
        for worker in leaving:
            worker.process.kill()
        for worker in leaving:
            worker.process.join(_ENDS_WITHIN_S)
            worker.pipe.close()
            self._workers.remove(worker)


@dataclass
class _Task:
    """A job and how it stands."""

    index: int
    job: Job[Any]
    num_tries: int = 0
    num_steps: int = 0


@dataclass
class _Worker:
    """A child and this end of the pipe to it."""

    process: multiprocessing.process.BaseProcess
    pipe: Connection[Any, Any]
    is_ready: bool = False
    has_begun: bool = False
    """It has begun a job: all that it needs is imported."""
    task: _Task | None = None
    silent_s: float = 0.0
    """For how long we listened and heard nothing."""
    is_hung: bool = False
    """It was silent for too long and has been killed."""

    @property
    def is_idle(self) -> bool:
        """Whether it has nothing to say: it is there and has no job."""
        return self.is_ready and self.task is None


def _is_alone() -> bool:
    """Whether a copy of this process is as good as a new one: there is one thread, which holds no lock but those that Python lets go of in the child."""
    return sys.platform == "linux" and threading.active_count() == 1 and not any(name in sys.modules for name in _NOT_TO_BE_FORKED)


def _hired(way: Literal["fork", "spawn"]) -> _Worker:
    context = multiprocessing.get_context("fork") if way == "fork" else multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process: multiprocessing.process.BaseProcess = context.Process(target=serve, args=(theirs,), daemon=True, name="hdgan-tiles")
    with _without_main():
        process.start()
    theirs.close()  # so that the pipe ends when the worker does
    return _Worker(process, ours)


_hiring = threading.Lock()


@contextmanager
def _without_main() -> Iterator[None]:
    """Keeps a spawned child from running the caller's script again: our jobs need nothing of it, and a script without a guard would start anew.

    Threads that hire take turns, or one would keep what another put in the place of the script.
    """
    with _hiring:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = main


HANG_REMEDY = (
    'its reader or the disk hangs: copy the slide to another disk, raise tiles.max_silence_s, or leave it out (broken_slides = "skip")'
)


def _death(code: int | None) -> str:
    if code is not None and code < 0:
        known = {number.value: number.name for number in signal.Signals}
        return f"the process that read it was ended by signal {-code}" + (f" ({known[-code]})" if -code in known else "")
    return f"the process that read it ended with {code}"


def _remedy(code: int | None) -> str:
    if code == -signal.SIGTERM or (hasattr(signal, "SIGKILL") and code == -signal.SIGKILL):
        return "memory may have been short: try fewer --workers"
    return 'its reader crashes: convert the slide or copy it again, or leave it out (broken_slides = "skip")'


def serve(pipe: Connection[Any, Any]) -> None:
    """Does the jobs that come through `pipe`, until it ends. Runs in a worker."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a forked one would answer as its parent does
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process of a terminal; the parent decides
    if hasattr(signal, "SIGUSR1"):
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    gc.freeze()  # what was imported is no garbage: to look through it again copies the memory of a forked process
    keep_freed_memory()
    with suppress(EOFError, OSError):  # the parent has gone
        pipe.send(("ready",))
        while True:
            job: Job[Any] = pipe.recv()
            pipe.send(("beat",))
            listener = _Telling(pipe)
            try:
                value, problem = job.attempt(listener)
            except (HdganError, OSError) as error:
                pipe.send(("raised", error))
            else:
                listener.flush()
                _send_done(pipe, value, problem)


def keep_freed_memory() -> bool:
    """Whether the C library now keeps the memory of arrays below 32 MiB that are freed, up to 64 MiB of it, for the next ones; only glibc is asked.

    It else gives it back, and takes it again page by page, each zeroed first: half of the pages that a worker touches.
    """
    if not sys.platform.startswith("linux"):
        return False
    from ctypes import CDLL

    try:
        mallopt = CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return False
    return all(mallopt(parameter, value) == 1 for parameter, value in ((_M_MMAP_THRESHOLD, 32 << 20), (_M_TRIM_THRESHOLD, 64 << 20)))


def _send_done(pipe: Connection[Any, Any], value: Any, problem: BadInput | None) -> None:
    """Sends the end of a job. The bytes of an array go as they lie: pickled, the 50 MB of a large tile would be copied four times."""
    if not (isinstance(value, np.ndarray) and value.size and hasattr(os, "readv")):
        pipe.send(("done", value, problem))
        return
    pipe.send(("array", value.shape, value.dtype.str))
    rest = np.ascontiguousarray(value).data.cast("B")
    while len(rest):
        rest = rest[os.write(pipe.fileno(), rest) :]


def _received(pipe: Connection[Any, Any]) -> tuple[Any, ...]:
    """One message; of an array the end of its job.

    Raises:
        EOFError: the worker has ended.
        OSError: likewise.
    """
    message: tuple[Any, ...] = pipe.recv()
    if message[0] != "array":
        return message
    _, shape, kind = message
    array = np.empty(shape, np.dtype(kind))
    rest = array.data.cast("B")
    while len(rest):
        num = os.readv(pipe.fileno(), [rest])
        if num == 0:
            raise EOFError
        rest = rest[num:]
    return ("done", array, None)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


class _Telling:
    """Sends progress through the pipe, steps gathered."""

    def __init__(self, pipe: Connection[Any, Any]) -> None:
        self._pipe = pipe
        self._num_steps = 0
        self._note = ""
        self._told = time.monotonic()

    def start(self, label: str, *, total: int, done: int = 0) -> None:
        """Ignored: the jobs together are one task."""

    def advance(self, steps: int = 1, *, note: str = "") -> None:
        """`steps` more are done."""
        self._num_steps += steps
        self._note = note or self._note
        if time.monotonic() - self._told >= _TELL_EVERY_S:
            self.flush()

    def finish(self) -> None:
        """Ignored."""

    def say(self, line: str) -> None:
        """One line."""
        self._pipe.send(("say", line))

    def beat(self) -> None:
        """The work goes on."""
        if time.monotonic() - self._told >= _TELL_EVERY_S:
            self._pipe.send(("beat",))
            self.flush()

    def flush(self) -> None:
        """Tells the steps that were not told yet."""
        if self._num_steps:
            self._pipe.send(("advance", self._num_steps, self._note))
        self._num_steps, self._told = 0, time.monotonic()
