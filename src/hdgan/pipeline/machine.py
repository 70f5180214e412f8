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
    """Bytes of memory that this process may have: those in the machine, or fewer where a container or a job has a limit; None where nothing tells."""
    try:
        found = [float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))]
    except (AttributeError, ValueError, OSError):
        found = []
    return min([*found, *memory_limits()], default=None)


def memory_limits(groups: Path = Path("/sys/fs/cgroup"), *, own: Path = Path("/proc/self/cgroup")) -> list[float]:
    """Limits, in bytes, of the control groups that this process is in and of those above them, as far as they can be read; Linux alone has them.

    `own` lists the groups, a line `number:controllers:path` for each hierarchy; below `groups` they lie, those of version 1 in a folder `memory`.
    """
    try:
        lines = [line.split(":", 2) for line in own.read_text().splitlines()]
    except OSError:
        return []
    found = []
    for _, controllers, path in (line for line in lines if len(line) == 3):
        if controllers not in ("", "memory"):
            continue
        top, name = (groups / "memory", "memory.limit_in_bytes") if controllers else (groups, "memory.max")
        below = Path(path.lstrip("/"))  # within a container the path may be that outside of it: then only the top is there
        for folder in (top / part for part in (below, *below.parents)):
            try:
                found.append(float((folder / name).read_text()))
            except (OSError, ValueError):  # none there, or "max"
                continue
    return found


def free_disk_bytes(folder: Path) -> float:
    """Bytes free on the disk that `folder` lies on, or will lie on."""
    there = next((place for place in (folder, *folder.absolute().parents) if place.exists()), Path())
    return float(shutil.disk_usage(there).free)
