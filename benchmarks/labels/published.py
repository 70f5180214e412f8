"""The published way to label an image, written plainly: what `predict.py` compares with.

Every map at image size by `F.interpolate`, one after the other, into one array of all channels on disk, memory-mapped; then the array read
back in chunks of pixels, standardised, and through the modules of the classifier. Kinder than what is published in two things: no two
upsampled maps are in memory at one time, and chunks are read as they lie instead of pixel by pixel.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from hdgan.classifier.mlp import PixelMlp
from hdgan.features.moments import Standardiser

CHUNK_PIXELS = 65_536


def refuse_if_full(folder: Path, *, num_channels: int, size: int, dtype: str) -> None:
    """Ends the benchmark where the array does not fit on the disk."""
    needed = num_channels * size**2 * np.dtype(dtype).itemsize
    free = shutil.disk_usage(folder).free
    if free < needed * 1.05:
        raise SystemExit(f"{folder}: the array takes {needed / 1e9:.1f} GB, {free / 1e9:.1f} are free; use --scratch or --array float16")


def write_array(path: Path, maps: Sequence[Tensor], *, size: int, dtype: str) -> None:
    """All maps `[C, S, S]` at image size, `[sum C, R R]`."""
    array = np.memmap(path, dtype, "w+", shape=(sum(len(m) for m in maps), size * size))
    start = 0
    for m in maps:
        grown = F.interpolate(m.unsqueeze(0), size=(size, size), mode="bilinear", align_corners=False)[0]
        array[start : start + len(m)] = grown.flatten(1).numpy()
        start += len(m)
    array.flush()


def label(path: Path, member: PixelMlp, standardiser: Standardiser, *, size: int, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """Labels uint8 `[R, R]`, and the logits float32 `[K, rows, columns]` of every 8th pixel of every 8th row."""
    array = np.memmap(path, dtype, "r", shape=(len(standardiser.mean), size * size))
    labels = np.empty(size * size, dtype=np.uint8)
    kept = np.empty((member.linears[-1].weight.shape[0], size * size), dtype=np.float32)
    for first in range(0, size * size, CHUNK_PIXELS):
        pixels = slice(first, min(first + CHUNK_PIXELS, size * size))
        x = torch.from_numpy(np.ascontiguousarray(array[:, pixels].T)).float()
        found = member(standardiser(x)).t().numpy()
        kept[:, pixels] = found
        labels[pixels] = found.argmax(axis=0)
    return labels.reshape(size, size), kept.reshape(-1, size, size)[:, ::8, ::8].copy()
