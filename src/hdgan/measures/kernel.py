"""Kernel distance of two sets of features (KID of Binkowski et al., arXiv 1801.01401): unbiased, so that equal sources give 0 on average.

Letters: N items, D features, S items of a subset.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hdgan.randomness import stream


class KernelDistance(NamedTuple):
    """Mean over the subsets, and their standard deviation; may be below 0."""

    mean: float
    spread: float


def kernel_distance(a: np.ndarray, b: np.ndarray, *, num_subsets: int = 100, subset: int = 1000, seed: int = 0) -> KernelDistance:
    """Squared maximum mean discrepancy under the kernel (x.y / D + 1)^3 of features `a [N, D]`, `b [M, D]`, over random subsets.

    As published: 100 subsets of 1000; a subset is at most half of the smaller set, because the spread of subsets that are the whole set is 0.

    Raises:
        ValueError: a set has fewer than four items.
    """
    size = min(subset, len(a) // 2, len(b) // 2)
    if size < 2:
        raise ValueError(f"sets of {len(a)} and {len(b)} items: at least 4 are needed")
    draw = stream(seed, "measures.kernel")
    values = []
    for _ in range(num_subsets):
        x, y = (np.asarray(s[draw.choice(len(s), size, replace=False)], np.float64) for s in (a, b))
        values.append(squared_discrepancy(x, y))
    return KernelDistance(float(np.mean(values)), float(np.std(values)))


def squared_discrepancy(x: np.ndarray, y: np.ndarray) -> float:
    """The unbiased estimate of one pair of sets `[N, D]`, `[M, D]`: pairs of an item with itself are left out."""
    within = sum((kernel.sum() - np.trace(kernel)) / (len(s) * (len(s) - 1)) for s in (x, y) if (kernel := _cubic(s, s)) is not None)
    return float(within - 2 * _cubic(x, y).mean())


def _cubic(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    base = x @ y.T / x.shape[1] + 1
    return np.asarray(base * base * base)
