"""An end that is asked for: SIGTERM and SIGUSR1 answered like Ctrl-C, wherever the work stands."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from hdgan.errors import Interrupted

_SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGUSR1") if hasattr(signal, name))


@contextmanager
def stoppable() -> Iterator[None]:
    """Within it SIGTERM and SIGUSR1 (Slurm, before a time limit) end the work as Ctrl-C does: children first, nothing half-written.

    Does nothing outside the main thread.

    Raises:
        Interrupted: such a signal came.
    """

    def stop(number: int, _frame: FrameType | None) -> None:
        raise Interrupted(f"stopped by {signal.Signals(number).name}; the same command goes on from here")

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {number: signal.signal(number, stop) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
