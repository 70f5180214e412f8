"""Sums whose order torch makes depend on the number of its threads, taken in one thread so that equal seeds give equal bits on every machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch works in the calling thread alone while it lasts, on the CPU; afterwards it has the threads that it had. Also a decorator."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
