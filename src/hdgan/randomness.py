"""Random numbers from counters: every draw is a function of (seed, stream name, index).

Nothing is carried from one draw to the next, so a restart, or another number of workers, changes no bit
(principle of arXiv 2312.02696's code: reseed each step from a counter). The bit generator is Philox
(Salmon et al. 2011), keyed by a hash of seed and stream name.
"""

from __future__ import annotations

import hashlib

import numpy as np


def stream(seed: int, name: str, index: int = 0) -> np.random.Generator:
    """A fresh generator for draw number `index` (>= 0) of the stream `name` under `seed`."""
    return np.random.Generator(np.random.Philox(key=counter_key(seed, name, index)))


def counter_key(seed: int, name: str, index: int = 0) -> int:
    """A 128-bit integer that identifies the draw."""
    digest = hashlib.sha256(f"{seed}\0{name}\0{index}".encode()).digest()
    return int.from_bytes(digest[:16], "little")
