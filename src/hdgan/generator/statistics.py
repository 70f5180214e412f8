"""The rows of a training's statistics and where they go: `stats.jsonl`, TensorBoard events, the warnings on the screen."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hdgan.errors import MissingExtra
from hdgan.generator.watch import new_concerns
from hdgan.progress import Progress
from hdgan.store.atomic import write_text
from hdgan.store.events import Events

STATS = "stats.jsonl"
EVENTS = "events"
Row = dict[str, Any]


class Statistics:
    """`rows`, one for each report, grid and warning so far; of several processes only the first writes them to `out`."""

    def __init__(self, rows: list[Row], *, out: Path | None, p_max: float | None, progress: Progress) -> None:
        self.rows = rows
        self._out = out
        self._p_max = p_max
        self._progress = progress
        self._events: Events | None = None

    def add(self, row: Row) -> None:
        """One more row, and what it gives reason to warn of, once for each kind."""
        self._take(row)
        for kind, line in new_concerns(self.rows, p_max=self._p_max).items():
            self._take({"images": row["images"], "warning": kind})
            self._progress.say(line)

    def write(self) -> None:
        """Puts all rows on the disk."""
        if self._out is not None:
            write_text(self._out / STATS, "".join(json.dumps(row, sort_keys=True) + "\n" for row in self.rows))
        if self._events is not None:
            self._events.flush()

    @contextmanager
    def with_events(self) -> Iterator[None]:
        """Writes TensorBoard events as well, as long as the block lasts and where TensorBoard is installed."""
        if self._out is not None:
            try:
                self._events = Events(self._out / EVENTS, self.rows)
            except MissingExtra as error:
                self._progress.say(f"no events for TensorBoard: {error}")
        try:
            yield
        finally:
            if self._events is not None:
                self._events.close()
            self._events = None

    def _take(self, row: Row) -> None:
        self.rows.append(row)
        if self._events is not None:
            self._events.add(row)
