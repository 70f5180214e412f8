"""The confusion matrix of labelled pixels: int64, because float32 stops counting at 2^24 (a 4096 px image has as many)."""

from __future__ import annotations

import numpy as np

from hdgan.errors import BadMask
from hdgan.labels import IGNORE

_CHUNK_PIXELS = 1 << 22
"""Pixels that are counted at a time: what counting needs beside the masks does not grow with them."""


def confusion(truth: np.ndarray, prediction: np.ndarray, num_classes: int) -> np.ndarray:
    """Pixel counts `[C, C]` int64, rows truth, columns prediction; pixels whose truth is 255 are skipped.

    Raises:
        BadMask: the two differ in shape, or hold a value that is no class.
    """
    if truth.shape != prediction.shape:
        raise BadMask("masks", f"truth {truth.shape} and prediction {prediction.shape} differ in size")
    counts = np.zeros(num_classes**2, dtype=np.int64)
    rows, columns = truth.ravel(), prediction.ravel()
    for start in range(0, len(rows), _CHUNK_PIXELS):
        part = slice(start, start + _CHUNK_PIXELS)
        counts += _counts(rows[part], columns[part], num_classes)
    return counts.reshape(num_classes, num_classes)


def _counts(truth: np.ndarray, prediction: np.ndarray, num_classes: int) -> np.ndarray:
    counted = truth != IGNORE
    rows, columns = truth[counted].astype(np.int64), prediction[counted].astype(np.int64)
    for name, labels in (("truth", rows), ("prediction", columns)):
        if labels.size and (labels.max() >= num_classes or labels.min() < 0):
            raise BadMask(name, f"has label {int(labels.max())}", f"there are {num_classes} classes")
    return np.bincount(rows * num_classes + columns, minlength=num_classes**2)
