"""The guided filter (He, Sun, Tang 2013, "Guided image filtering", equations 5, 6 and 8) with the image's brightness as guide.

In every window of edge 2 r + 1 the output is the linear function of the guide that fits the input best; a pixel takes the mean over the windows that hold
it. Where the guide is flat the input is averaged, where the guide has an edge the output has it too. Cost does not grow with the radius.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hdgan.optional import ndimage

_BAND_ROWS = 512
"""Rows that are filtered together: ten planes of float64 stand beside each other, 1.3 GB for a whole image of 4096 px."""
_WEIGHTS = np.array([0.299, 0.587, 0.114], dtype=np.float32)


def brightness(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Luma `[H, W]`, 0 to 1, of an image uint8 `[H, W, 3]` (Rec. 601)."""
    return np.asarray(image.astype(np.float32) @ (_WEIGHTS / 255), dtype=np.float32)


def guided_filter(values: NDArray[np.float32], guide: NDArray[np.float32], *, radius_px: int, epsilon: float) -> NDArray[np.float32]:
    """`values [K, H, W]` smoothed along the structure of `guide [H, W]`; a sum of 1 over K stays 1. Windows are mirrored at the image's edge."""
    smoothed = np.empty_like(values)
    height, halo = guide.shape[0], 2 * radius_px  # a pixel depends on windows that hold it, and these on theirs
    for first in range(0, height, _BAND_ROWS):
        last = min(first + _BAND_ROWS, height)
        low, high = max(first - halo, 0), min(last + halo, height)
        found = _filtered(values[:, low:high], guide[low:high], size=2 * radius_px + 1, epsilon=epsilon)
        smoothed[:, first:last] = found[:, first - low : last - low]
    return smoothed


def _filtered(values: NDArray[np.float32], guide: NDArray[np.float32], *, size: int, epsilon: float) -> NDArray[np.float32]:
    # Float64: a variance is the difference of two means that are nearly the same in flat windows.
    g = guide.astype(np.float64)
    mean_g = _mean(g, size)
    spread = _mean(g * g, size) - mean_g**2 + epsilon
    smoothed = np.empty_like(values)
    for index, channel in enumerate(values):
        p = channel.astype(np.float64)
        mean_p = _mean(p, size)
        slope = (_mean(g * p, size) - mean_g * mean_p) / spread
        offset = mean_p - slope * mean_g
        smoothed[index] = _mean(slope, size) * g + _mean(offset, size)
    return smoothed


def _mean(values: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    found: NDArray[np.float64] = ndimage().uniform_filter(values, size, mode="reflect")
    return found
