"""Memory that a reader keeps between two regions: tiles that a neighbour will ask for, and the room of a region that nobody holds any more."""

from __future__ import annotations

import math
import os
import threading
import weakref
from collections import OrderedDict

import numpy as np

_SMALLEST_KEPT = 1 << 22
"""Below 4 MiB the allocator keeps memory by itself."""


class RegionMemory:
    """Arrays for regions, in memory of an earlier one where that is free.

    Fresh memory of this size comes from the system page by page, and each page is zeroed first: a tenth of the time of a region.
    """

    def __init__(self) -> None:
        self._idle: list[np.ndarray] = []

    def array(self, shape: tuple[int, int, int]) -> np.ndarray:
        """An array of `shape`, uint8, whose content is left over. Its memory is used again when it and all its views are gone."""
        num_bytes = math.prod(shape)
        if num_bytes < _SMALLEST_KEPT:
            return np.empty(shape, np.uint8)
        try:
            room = self._idle.pop()
        except IndexError:
            room = np.empty(num_bytes, np.uint8)
        if room.size != num_bytes:
            room = np.empty(num_bytes, np.uint8)
        # Through a memoryview, so that views of the region hold `region`: numpy would else let them hold the room itself.
        region = np.frombuffer(room.data, np.uint8)
        weakref.finalize(region, self._take_back, room).atexit = False
        return region.reshape(shape)

    def clear(self) -> None:
        """Lets go of idle memory."""
        self._idle.clear()

    def _take_back(self, room: np.ndarray) -> None:
        if not self._idle:
            self._idle.append(room)


class TileCache:
    """The tiles used last, up to a number of bytes."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._num_bytes = 0
        self._tiles: OrderedDict[tuple[int, int], np.ndarray] = OrderedDict()
        self._lock = threading.Lock()
        self._pid = os.getpid()

    @property
    def num_bytes(self) -> int:
        """What the kept tiles take."""
        return self._num_bytes

    def get(self, key: tuple[int, int]) -> np.ndarray | None:
        """The tile, None if it is not kept."""
        with self._held():
            tile = self._tiles.get(key)
            if tile is not None:
                self._tiles.move_to_end(key)
            return tile

    def put(self, key: tuple[int, int], tile: np.ndarray) -> None:
        """Keeps a tile, and lets go of the oldest."""
        with self._held():
            if key in self._tiles:
                return
            self._tiles[key] = tile
            self._num_bytes += tile.nbytes
            while self._num_bytes > self._max_bytes:
                _, oldest = self._tiles.popitem(last=False)
                self._num_bytes -= oldest.nbytes

    def clear(self) -> None:
        """Lets go of all."""
        with self._held():
            self._tiles.clear()
            self._num_bytes = 0

    def _held(self) -> threading.Lock:
        if self._pid != os.getpid():  # a fork while another thread held the lock would leave it locked for ever
            self._lock, self._pid = threading.Lock(), os.getpid()
        return self._lock
