"""Tiles as JPEG bytes (quality 95, no colour subsampling) in one .npz: small enough to be carried with a training state."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image


def save(path: Path, tiles: Sequence[np.ndarray], *, mpp: float, labels: Sequence[int], names: Sequence[str]) -> None:
    """Writes tiles uint8 `[S, S, 3]`, and the label of each as its place in `names`."""
    encoded = [_encoded(tile) for tile in tiles]
    ends = np.cumsum([len(data) for data in encoded])
    path.parent.mkdir(parents=True, exist_ok=True)
    data = np.frombuffer(b"".join(encoded), dtype=np.uint8)
    np.savez(path, data=data, ends=ends, mpp=np.float64(mpp), labels=np.asarray(labels, dtype=np.int64), names=np.asarray(names))


def load(path: Path) -> np.ndarray:
    """The tiles, `[T, S, S, 3]` uint8."""
    with np.load(path, allow_pickle=False) as packed:
        data, ends = packed["data"], packed["ends"]
    starts = np.concatenate(([0], ends[:-1]))
    return np.stack([np.asarray(Image.open(io.BytesIO(data[a:b].tobytes()))) for a, b in zip(starts, ends, strict=True)])


def load_labels(path: Path) -> tuple[list[int], list[str]]:
    """The label of each tile, and what the labels are called."""
    with np.load(path, allow_pickle=False) as packed:
        return packed["labels"].tolist(), packed["names"].tolist()


def _encoded(tile: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(tile).save(buffer, format="JPEG", quality=95, subsampling=0)
    return buffer.getvalue()
