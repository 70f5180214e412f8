"""How far a score would move with other images: percentile bootstrap (Efron 1979); and a share with other draws: exact (Clopper and Pearson 1934)."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from hdgan.measures.scores import occurring
from hdgan.randomness import stream


def bootstrap(
    matrices: np.ndarray, statistic: Callable[[np.ndarray], float], *, seed: int, num: int = 1000, level: float = 0.95
) -> tuple[float, float]:
    """Lower and upper end of the interval of `statistic(pooled matrix)` when images are drawn again with replacement.

    `matrices [N, C, C]` holds one confusion matrix for each image. Resamples of which the statistic is nan are left out. (nan, nan) with fewer
    than two images.
    """
    if len(matrices) < 2:
        return (float("nan"), float("nan"))
    draw = stream(seed, "measures.bootstrap")
    picks = draw.integers(len(matrices), size=(num, len(matrices)))
    values = np.array([statistic(matrices[pick].sum(axis=0)) for pick in picks])
    tail = (1 - level) / 2
    low, high = np.nanquantile(values, [tail, 1 - tail]) if np.isfinite(values).any() else (np.nan, np.nan)
    return float(low), float(high)


def over_same_classes(
    statistic: Callable[[np.ndarray], float], matrices: np.ndarray, *, occurs: Callable[[np.ndarray], np.ndarray] = occurring
) -> Callable[[np.ndarray], float]:
    """The `statistic`, but nan where other classes occur (as `occurs` says) than in all of the `matrices [N, ...]` together.

    A mean over fewer classes is another number. With a class that two of sixteen images show, every eighth resample has none of it, and if
    it is the one that is mostly missed, the mean of the others would be taken for the upper end of the interval.
    """
    wanted = occurs(matrices.sum(axis=0))

    def found(matrix: np.ndarray) -> float:
        return statistic(matrix) if np.array_equal(occurs(matrix), wanted) else math.nan

    return found


def binomial_interval(num_hits: int, num: int, *, level: float = 0.95) -> tuple[float, float]:
    """Lower and upper end of the share behind `num_hits` hits in `num` draws: shares outside make so few, or so many, hits too unlikely.

    Raises:
        ValueError: there is no draw, or more hits than draws.
    """
    if not 0 <= num_hits <= num or num == 0:
        raise ValueError(f"{num_hits} hits in {num} draws")
    tail = (1 - level) / 2

    def at_most(hits: int, share: float) -> float:
        ways = (math.lgamma(num + 1) - math.lgamma(k + 1) - math.lgamma(num - k + 1) for k in range(hits + 1))
        return math.fsum(math.exp(way + k * math.log(share) + (num - k) * math.log1p(-share)) for k, way in enumerate(ways))

    low = 0.0 if num_hits == 0 else _crossing(lambda share: at_most(num_hits - 1, share), 1 - tail)
    high = 1.0 if num_hits == num else _crossing(lambda share: at_most(num_hits, share), tail)
    return low, high


def _crossing(falling: Callable[[float], float], value: float) -> float:
    """Where a falling function of 0 to 1 has the value, by halving."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if falling(middle) > value else (low, middle)
    return (low + high) / 2
