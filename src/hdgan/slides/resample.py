"""Resampling by area: each pixel asked for is the mean of what it covers, at any ratio and offset, without aliasing.

Pillow's BOX filter weighs whole pixels by their centres, which at a ratio such as 1.6 takes one pixel here and two there;
here a pixel that is covered by a part counts by that part. Arrays are `[H, W, 3]` uint8.
"""

from __future__ import annotations

import numpy as np

_SAMPLED_PX = 32
_BAND_PX = 16
_POOLED_PX = 1 << 18
"""Pixels of the rows that are pooled at once: their floats take 12 bytes each, twice."""
_MOST_IN_16_BITS = 256
"""Pixels of 255 whose sum, and half of their number, a 16-bit number holds."""


def area_resample(pixels: np.ndarray, *, box: tuple[float, float, float, float], out_px: tuple[int, int]) -> np.ndarray:
    """`[out_height, out_width, 3]` uint8: means over the cells of an even grid on `box`.

    `box` is (left, top, right, bottom) in pixels of `pixels`, inside it; its edges are at least `out_px` (no upsampling).
    """
    left, top, right, bottom = box
    out_width, out_height = out_px
    factors = _whole_factors(pixels, box, out_px)
    if factors:
        return _block_means(pixels[round(top) : round(bottom), round(left) : round(right)], factors)
    means, band = np.empty((out_height, out_width, 3), np.uint8), max(1, _POOLED_PX // pixels.shape[1])
    for first in range(0, out_height, band):
        some = slice(first, first + band)
        rows = _pool(pixels, start=top, step=(bottom - top) / out_height, num=out_height, some=some)
        columns = _pool(rows.swapaxes(0, 1), start=left, step=(right - left) / out_width, num=out_width)
        means[some] = np.clip(np.floor(columns.swapaxes(0, 1) + 0.5), 0, 255)
    return means


def sampled_blocks(pixels: np.ndarray, num: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean, float64, and spread (largest less smallest level), int16, in each of `num` x `num` blocks of an even grid on `pixels`: `[num, num, 3]`.

    Of each block at least 32 x 32 px, or all there are, are looked at. `num` is at most the shorter edge.
    """
    stride = max(1, min(pixels.shape[:2]) // (num * _SAMPLED_PX))
    sample = _every(pixels, stride)
    if not (sample.shape[0] % num or sample.shape[1] % num):
        return _even_blocks(sample, num)
    rows, columns = (np.arange(num) * edge // num for edge in sample.shape[:2])
    heights, widths = (np.diff(starts, append=edge) for starts, edge in ((rows, sample.shape[0]), (columns, sample.shape[1])))
    sums = np.add.reduceat(np.add.reduceat(sample, rows, axis=0, dtype=np.int64), columns, axis=1)
    highest, lowest = (of.reduceat(of.reduceat(sample, rows, axis=0), columns, axis=1).astype(np.int16) for of in (np.maximum, np.minimum))
    return sums / (heights[:, None, None] * widths[None, :, None]), highest - lowest


def _every(pixels: np.ndarray, stride: int) -> np.ndarray:
    """Every pixel of every row that is a multiple of `stride`, in memory of their own."""
    picked = pixels[::stride, ::stride]
    if stride == 1:
        return np.ascontiguousarray(picked)
    found = np.empty(picked.shape, np.uint8)
    for channel in range(3):  # one after the other: numpy is slow along an axis of three
        found[..., channel] = picked[..., channel]
    return found


def _even_blocks(sample: np.ndarray, num: int) -> tuple[np.ndarray, np.ndarray]:
    """`sampled_blocks` where the blocks are equal, ten times as fast: down the columns first, which are then short."""
    height, width = sample.shape[0] // num, sample.shape[1] // num
    bands, blocks = sample.reshape(num, height, -1), (num, num, width, 3)
    sums = bands.sum(axis=1, dtype=np.uint32).reshape(blocks).sum(axis=2, dtype=np.int64)
    highest, lowest = bands.max(axis=1).reshape(blocks).max(axis=2), bands.min(axis=1).reshape(blocks).min(axis=2)
    return sums / (height * width), highest.astype(np.int16) - lowest.astype(np.int16)


def _whole_factors(pixels: np.ndarray, box: tuple[float, float, float, float], out_px: tuple[int, int]) -> tuple[int, int] | None:
    """The whole ratios of width and height, or None where a cell would cut a pixel."""
    if any(abs(edge - round(edge)) > 1e-6 for edge in box) or round(box[2]) > pixels.shape[1] or round(box[3]) > pixels.shape[0]:
        return None
    width, height = round(box[2]) - round(box[0]), round(box[3]) - round(box[1])
    if width % out_px[0] or height % out_px[1]:
        return None
    return width // out_px[0], height // out_px[1]


def _pool(pixels: np.ndarray, *, start: float, step: float, num: int, some: slice = slice(None)) -> np.ndarray:
    """Means over `num` cells, or `some` of them, of `step` pixels along axis 0 from `start`: float32, the other axes as they were."""
    edges = start + step * np.arange(num + 1, dtype=np.float64)
    lower, upper = edges[:-1][some], edges[1:][some]
    first = np.floor(lower + 1e-9).astype(np.intp)
    total = np.zeros((len(lower), *pixels.shape[1:]), np.float32)
    for offset in range(int(np.ceil(step)) + 1):
        index = first + offset
        covered = np.minimum(index + 1, upper) - np.maximum(index, lower)
        weight = (np.clip(covered, 0, 1) / step).astype(np.float32)
        total += pixels[np.clip(index, 0, len(pixels) - 1)] * weight[:, None, None]
    return total


def _block_means(pixels: np.ndarray, factors: tuple[int, int]) -> np.ndarray:
    """Means of blocks of `factors` (width, height) px, rounded half up once. In integers: Pillow's `reduce` is off by one at some ratios.

    In bands of rows that stay in the processor's caches, and in numbers no wider than the sums need: a sixth of the time of whole arrays, or less.
    """
    across, down = factors
    num = across * down
    if num == 1:
        return pixels.copy()
    kind = np.uint16 if num <= _MOST_IN_16_BITS else np.uint32
    means = np.empty((len(pixels) // down, pixels.shape[1] // across, 3), np.uint8)
    for top in range(0, len(means), _BAND_PX):
        band = pixels[top * down : (top + _BAND_PX) * down]
        rows: np.ndarray = band[::down].astype(kind)
        for k in range(1, down):
            np.add(rows, band[k::down], out=rows)
        flat = rows.reshape(len(rows), -1)
        for channel in range(3):  # one after the other: numpy is slow along an axis of three
            sums: np.ndarray = flat[:, channel :: 3 * across].copy()
            for k in range(1, across):
                sums += flat[:, 3 * k + channel :: 3 * across]
            sums += kind(num // 2)
            if num & (num - 1):
                sums //= kind(num)
            else:
                sums >>= kind(num.bit_length() - 1)
            means[top : top + _BAND_PX, :, channel] = sums
    return means
