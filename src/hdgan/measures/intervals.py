"""How far a score would move with other images: percentile bootstrap over images (Efron 1979)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hdgan.randomness import stream


def bootstrap(
    matrices: np.ndarray, statistic: Callable[[np.ndarray], float], *, seed: int, num: int = 1000, level: float = 0.95
) -> tuple[float, float]:
    """Lower and upper end of the interval of `statistic(pooled matrix)` when images are drawn again with replacement.

    `matrices [N, C, C]` holds one confusion matrix for each image. (nan, nan) with fewer than two images.
    """
    if len(matrices) < 2:
        return (float("nan"), float("nan"))
    draw = stream(seed, "measures.bootstrap")
    picks = draw.integers(len(matrices), size=(num, len(matrices)))
    values = np.array([statistic(matrices[pick].sum(axis=0)) for pick in picks])
    tail = (1 - level) / 2
    low, high = np.nanquantile(values, [tail, 1 - tail]) if np.isfinite(values).any() else (np.nan, np.nan)
    return float(low), float(high)
