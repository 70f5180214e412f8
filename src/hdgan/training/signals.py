"""A request to stop, noted by a signal handler and honoured by the loop at its next step boundary.

SIGTERM and SIGUSR1 are what Slurm sends before a time limit or a preemption, SIGINT is Ctrl-C. The handler only sets a
flag; a second signal acts as usual.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType


class StopRequest:
    """Context manager; `bool(request)` is true once a signal came. Does nothing outside the main thread."""

    _SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGUSR1") if hasattr(signal, name))

    def __init__(self) -> None:
        self.name = ""
        self._previous: dict[signal.Signals, object] = {}

    def __bool__(self) -> bool:
        """Whether a stop was asked for."""
        return bool(self.name)

    def __enter__(self) -> StopRequest:
        """Installs the handlers."""
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._note) for number in self._SIGNALS}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Puts the former handlers back."""
        self._restore()

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.name = signal.Signals(number).name
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._previous = {}
