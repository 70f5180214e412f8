"""Content hashes (sha256, hexadecimal) of bytes, files, arrays and plain data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

_MOST_READ = 1 << 22


def hash_bytes(data: bytes) -> str:
    """sha256 of `data`."""
    return hashlib.sha256(data).hexdigest()


def hash_file(path: Path, *, beat: Callable[[], object] = lambda: None) -> str:
    """sha256 of a file's bytes. `beat` is called on the way, every 4 MiB; what it raises ends the work."""
    sha, room = hashlib.sha256(), memoryview(bytearray(min(_MOST_READ, path.stat().st_size + 1)))
    with path.open("rb", buffering=0) as file:
        while num := file.readinto(room):
            sha.update(room[:num])
            beat()
    return sha.hexdigest()


def hash_array(array: np.ndarray) -> str:
    """sha256 over type, shape and values in C order."""
    sha = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
    sha.update(np.ascontiguousarray(array).tobytes())
    return sha.hexdigest()


def hash_json(data: Any) -> str:
    """sha256 of plain data, whatever the order of their keys."""
    return hash_bytes(json.dumps(data, sort_keys=True, allow_nan=False, ensure_ascii=False).encode())
