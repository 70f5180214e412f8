"""Memory of a process: kept for its next step instead of given back and asked for again, and the most that it held.

glibc returns blocks above 128 KiB to the system at once and gets them back page by page, tens of thousands of page
faults in a training step. On other systems nothing happens.
"""

from __future__ import annotations

import ctypes
import re
import sys
from pathlib import Path

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


def trim() -> bool:
    """Whether the C library has given memory that is free back to the system; what was freed in small blocks it keeps otherwise."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        return bool(ctypes.CDLL(None).malloc_trim(0))
    except (OSError, AttributeError):  # musl has none
        return False


def most_held() -> float | None:
    """The most bytes of memory that this process held so far; None where the system does not tell."""
    if sys.platform.startswith("linux"):  # there `ru_maxrss` begins at what the parent held
        found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
        if found:
            return int(found[1]) * 1024.0
    if sys.platform == "win32":
        return None
    import resource  # absent on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1.0 if sys.platform == "darwin" else 1024.0)
