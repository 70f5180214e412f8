"""Memory that a process keeps for its next step instead of giving it back and asking again.

glibc returns blocks above 128 KiB to the system at once and gets them back page by page, tens of thousands of page
faults in a training step. On other systems nothing happens.
"""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3  # names of mallopt(3)
_LARGEST_KEPT = 32 * 2**20  # the most that glibc accepts
_KEPT_IN_ALL = 2**30


def keep_freed_memory() -> bool:
    """Whether the C library now keeps freed blocks of up to 32 MiB (1 GiB in all) for this process."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # musl has none
        return False
    wishes = ((_MMAP_THRESHOLD, _LARGEST_KEPT), (_TRIM_THRESHOLD, _KEPT_IN_ALL), (_TOP_PAD, 128 * 2**20))
    taken = [mallopt(name, value) for name, value in wishes]  # each is asked for, whatever became of the others
    return all(taken)
