"""Tiles as JPEG bytes (quality 95, no colour subsampling) in one .npz: small enough to be carried with a training state."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image


def save(
    path: Path,
    tiles: Sequence[np.ndarray],
    *,
    mpp: float,
    labels: Sequence[int],
    names: Sequence[str],
    repeats: Sequence[int] | None = None,
) -> None:
    """Writes tiles uint8 `[S, S, 3]`, the label of each as its place in `names`, and how often each is seen in a round (once)."""
    encoded = [_encoded(tile) for tile in tiles]
    ends = np.cumsum([len(data) for data in encoded])
    path.parent.mkdir(parents=True, exist_ok=True)
    data = np.frombuffer(b"".join(encoded), dtype=np.uint8)
    times = np.ones(len(tiles), dtype=np.int64) if repeats is None else np.asarray(repeats, dtype=np.int64)
    about = {"labels": np.asarray(labels, dtype=np.int64), "names": np.asarray(names), "repeats": times}
    np.savez(path, data=data, ends=ends, mpp=np.float64(mpp), **about)


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


def load_order(path: Path) -> list[int]:
    """The numbers of the tiles of one round, each as often as it is to be seen."""
    with np.load(path, allow_pickle=False) as packed:
        times = packed["repeats"] if "repeats" in packed else np.ones(len(packed["ends"]), dtype=np.int64)
    return np.repeat(np.arange(len(times)), times).tolist()


def _encoded(tile: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(tile).save(buffer, format="JPEG", quality=95, subsampling=0)
    return buffer.getvalue()
