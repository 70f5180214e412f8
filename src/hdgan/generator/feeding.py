"""Batches of crops, read while the one before trains."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hdgan.generator.crops import Crops
from hdgan.progress import Progress

_LEAST_SECONDS = 60.0
"""Before that the first tiles are opened, and a wait says little."""
_MOST_WAITING = 0.1


class Feeder:
    """The crops at the places `mine` of each batch, one batch ahead in a thread of its own.

    Says once how much of the time the training waits for them, where that is more than a tenth: the step is then not what takes the time.
    """

    def __init__(
        self,
        crops: Crops,
        mine: Sequence[int],
        device: torch.device,
        *,
        batch: int,
        progress: Progress,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._crops, self._mine, self._device, self._batch = crops, mine, device, batch
        self._progress, self._clock = progress, clock
        self._pending: Future[Tensor]
        self._since: float | None = None
        self._waited, self._has_said = 0.0, False

    def __enter__(self) -> Self:
        self._thread = ThreadPoolExecutor(1)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._thread.shutdown()

    def begin(self, first: int) -> None:
        """Begins to read the batch whose first crop has the number `first`."""
        self._pending = self._thread.submit(waiting, self._crops, first, self._mine, self._device)

    def take(self, first: int) -> Tensor:
        """The batch that was begun, whose first crop has the number `first`, uint8 `[B, C, S, S]`; the next one is begun."""
        asked = self._clock()
        crops = self._pending.result()
        if self._since is None:
            self._since = self._clock()  # nothing was read ahead of the first
        else:
            self._waited += self._clock() - asked
            self._judge(self._clock() - self._since)
        self.begin(first + self._batch)
        return crops

    def _judge(self, passed: float) -> None:
        if self._has_said or passed < _LEAST_SECONDS or self._waited < _MOST_WAITING * passed:
            return
        self._has_said = True
        self._progress.say(
            f"{self._waited / passed:.0%} of the time so far the training waited for its tiles: they come faster where they are stored "
            "(tiles.format), lie on a near disk, and are no larger than the crops need (tiles.margin)"
        )


def read_batch(crops: Crops, first: int, mine: Sequence[int]) -> NDArray[np.uint8]:
    """The crops at the places `mine` of the batch that begins with crop number `first`, `[B, C, S, S]`."""
    return crops.numbered([first + place for place in mine])


def waiting(crops: Crops, first: int, mine: Sequence[int], device: torch.device) -> Tensor:
    """The same as a tensor that waits for the step; for a GPU in pinned memory, from which it is copied while the GPU computes."""
    images = torch.from_numpy(read_batch(crops, first, mine))
    return images.pin_memory() if device.type == "cuda" else images
