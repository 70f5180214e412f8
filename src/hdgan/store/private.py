"""Small files for their owner alone, such as keys: never replaced, whole or absent, unreadable to others from the first byte."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from hdgan.store.atomic import TEMPORARY_MARK, raise_if_full, sync_folder

_OWNER_ONLY = 0o600


def create_private(path: Path, data: bytes) -> bool:
    """Whether `path` was made with `data` (mode 0600); False when there was one already, which stays as it is.

    Raises:
        OutOfSpace: the disk is full.
        OSError: the folder cannot be made or written to.
    """
    temporary = path.parent / f"{TEMPORARY_MARK}{os.getpid()}-{path.name}"
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary.unlink(missing_ok=True)  # of a killed process that had our number
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)  # unlike a rename it fails where another process was first
        sync_folder(path.parent)
    except FileExistsError:
        return False
    except OSError as error:
        raise_if_full(error, path)
        raise
    finally:
        with suppress(OSError):
            temporary.unlink()
    return True


def is_open_to_others(path: Path) -> bool:
    """Whether the group or everybody may read or write the file; never on Windows, which has no such bits."""
    return os.name != "nt" and bool(path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))
