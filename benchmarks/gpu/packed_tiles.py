"""Tiles as JPEG bytes (quality 95, no colour subsampling) in one .npz: small enough to be carried with a training state."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image


def save(path: Path, tiles: Sequence[np.ndarray], *, mpp: float) -> None:
    """Writes tiles uint8 `[S, S, 3]`."""
    encoded = [_encoded(tile) for tile in tiles]
    ends = np.cumsum([len(data) for data in encoded])
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, data=np.frombuffer(b"".join(encoded), dtype=np.uint8), ends=ends, mpp=np.float64(mpp))


def load(path: Path) -> np.ndarray:
    """The tiles, `[T, S, S, 3]` uint8."""
    with np.load(path, allow_pickle=False) as packed:
        data, ends = packed["data"], packed["ends"]
    starts = np.concatenate(([0], ends[:-1]))
    return np.stack([np.asarray(Image.open(io.BytesIO(data[a:b].tobytes()))) for a, b in zip(starts, ends, strict=True)])


def _encoded(tile: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(tile).save(buffer, format="JPEG", quality=95, subsampling=0)
    return buffer.getvalue()
