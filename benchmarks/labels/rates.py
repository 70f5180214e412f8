"""What the label benchmarks measure with beside `machine.py`: memory by phase, and where a prediction's time goes."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import math
import re
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from hdgan.classifier import factored
from hdgan.classifier.cutting import Pieces, cells_under, runs
from hdgan.classifier.factored import Folded, logits
from hdgan.classifier.mlp import PixelMlp
from hdgan.training.memory import most_held

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


class memory_by_phase:  # noqa: N801 - used as a function
    """Peak memory of this process in MiB above what it holds now, phase by phase; nan where the system does not tell.

    Between phases freed memory is given back and the high-water mark reset where Linux allows it, so that a phase is not charged for the one
    before it. `_own` is without pages of mapped files, looked at a hundred times a second.
    """

    def __init__(self) -> None:
        self._idle = (most_held() or math.nan) / 2**20
        self._idle_own = _own_mib()
        self._own = 0.0
        self._found: dict[str, float] = {}
        self._stop = threading.Event()
        self._watch = threading.Thread(target=self._look, daemon=True)
        self._watch.start()

    def _look(self) -> None:
        while not self._stop.wait(0.01):
            self._own = max(self._own, _own_mib())

    def next_phase(self, finished: str) -> None:
        """Notes the peak of the phase that ends here, under that name."""
        self._found[finished] = (most_held() or math.nan) / 2**20 - self._idle
        self._found[f"{finished}_own"] = max(self._own, _own_mib()) - self._idle_own
        if _CLEAR.exists():
            gc.collect()
            with contextlib.suppress(OSError, AttributeError):  # other C libraries than glibc have no such function
                ctypes.CDLL(None).malloc_trim(0)
            _CLEAR.write_text("5")
        self._own = 0.0

    def close(self) -> dict[str, float]:
        """What was found."""
        self._stop.set()
        self._watch.join()
        return self._found


def _own_mib() -> float:
    found = re.search(r"RssAnon:\s+(\d+) kB", _STATUS.read_text()) if _STATUS.exists() else None
    return int(found[1]) / 1024 if found else math.nan


def needed_products(head: PixelMlp, maps: Sequence[Tensor], size: int) -> float:
    """Multiplications that labelling by one head cannot do without: each map once at its own resolution, the later layers at each pixel.

    What `maps` lack of the channels is of image size.
    """
    first, *later = (linear.weight.shape for linear in head.linears)
    by_rows = (first[1] - sum(len(m) for m in maps)) * size * size
    return float((sum(m.numel() for m in maps) + by_rows) * first[0] + size * size * sum(a * b for a, b in later))


READING, POSITIONS = "reading and laying out cells", "positions"
PROJECTION, INTERPOLATION = "projection at each map's resolution", "interpolation"
FINE, LATER = "maps projected at image size", "ReLU, later layers, result"
STAGES = {
    "_fine": READING,
    "_windows_under": POSITIONS,
    "_project": PROJECTION,
    "_upsample": INTERPOLATION,
    "_first_layer": FINE,
    "_fill": LATER,
    "_later_layers": LATER,
}
"""Functions of `factored`, and what each does besides calling the others."""


class _Clock:
    """Processor time by stage; a stage's time is not that of the one which called it."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}
        self._inner = [0.0]

    def timed(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            self._inner.append(0.0)
            begun = time.process_time()
            found = function(*arguments, **named)
            took = time.process_time() - begun
            self.spent[name] = self.spent.get(name, 0.0) + took - self._inner.pop()
            self._inner[-1] += took
            return found

        return call


def stages(folded: Folded, maps: Sequence[Tensor], size: int, *, num_strips: int = 3) -> dict[str, Any]:
    """Of a few strips on one thread, the fastest: the share of each stage, and the rate of multiplication of those that are products."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    totals: list[tuple[float, dict[str, float]]] = []
    clock = _Clock()
    with ExitStack() as stack:
        for function, name in STAGES.items():
            stack.enter_context(mock.patch.object(factored, function, clock.timed(getattr(factored, function), name)))
        stack.enter_context(mock.patch.object(factored._Level, "cells", clock.timed(factored._Level.cells, READING)))
        strips = logits(folded, maps, size=size)
        for _ in range(min(num_strips, len(runs(size, factored._STRIP_ROWS)))):
            clock.spent.clear()
            begun = time.process_time()
            _, found = next(strips)
            seconds, num_rows = time.process_time() - begun, found.shape[2]
            totals.append((seconds / num_rows, {name: spent / num_rows for name, spent in clock.spent.items()}))
        strips.close()
    torch.set_num_threads(threads)
    return _shares(*min(totals, key=lambda pair: pair[0]), folded, maps, size)


def _shares(total: float, spent: dict[str, float], folded: Folded, maps: Sequence[Tensor], size: int) -> dict[str, Any]:
    """Of seconds for each row of the image."""
    task = factored._task(folded, maps, size)
    width = folded.weights[0].shape[1]
    products: dict[str, float] = {
        PROJECTION: width * sum(m.numel() for level in task.levels for m in level.maps) / size**2,
        INTERPOLATION: width * sum(_interpolation_products(level.edge, size, task.pieces) for level in task.levels),
        FINE: width * sum(len(m) for level in task.fine for m in level.maps),
        LATER: sum(w.shape[1] * w.shape[2] for w in folded.weights[1:]),
    }
    rates = {
        name: {"per_pixel": per_pixel, "rate": per_pixel * folded.num_members * size / spent[name]}
        for name, per_pixel in products.items()
        if per_pixel and spent.get(name, 0.0) > 0
    }
    shares = {name: seconds / total for name, seconds in spent.items()}
    return {"shares": shares | {"the rest": max(0.0, 1 - sum(shares.values()))}, "products": rates}


def _interpolation_products(edge: int, size: int, pieces: Pieces) -> float:
    down = cells_under(pieces.group_rows, edge, size=size)
    across = cells_under(pieces.tile_columns, edge, size=size)
    return down * across / pieces.group_rows + down
