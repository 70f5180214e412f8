"""What this machine has."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory_bytes() -> float | None:
    """Bytes of memory in the machine; None where the system does not tell."""
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        return None


def free_disk_bytes(folder: Path) -> float:
    """Bytes free on the disk that `folder` lies on, or will lie on."""
    there = next((place for place in (folder, *folder.absolute().parents) if place.exists()), Path())
    return float(shutil.disk_usage(there).free)
