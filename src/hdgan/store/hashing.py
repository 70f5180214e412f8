"""Content hashes (sha256, hexadecimal) of bytes, files, arrays and plain data."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np


def hash_bytes(data: bytes) -> str:
    """sha256 of `data`."""
    return hashlib.sha256(data).hexdigest()


def hash_file(path: Path) -> str:
    """sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_array(array: np.ndarray) -> str:
    """sha256 over type, shape and values in C order."""
    sha = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
    sha.update(np.ascontiguousarray(array).tobytes())
    return sha.hexdigest()


def hash_json(data: Any) -> str:
    """sha256 of plain data, whatever the order of their keys."""
    return hash_bytes(json.dumps(data, sort_keys=True, allow_nan=False, ensure_ascii=False).encode())
