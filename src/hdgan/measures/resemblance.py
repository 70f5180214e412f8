"""How much one set of images resembles another, in all the numbers that are told together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hdgan.measures.frechet import frechet_distance
from hdgan.measures.kernel import KernelDistance, kernel_distance
from hdgan.measures.neighbours import Manifolds, manifolds


@dataclass(frozen=True)
class Resemblance:
    """Distances (0 is equal) and shares of a set of images against a set of real ones."""

    frechet: float
    kernel: KernelDistance
    shares: Manifolds

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {"frechet": self.frechet, "kernel": self.kernel._asdict(), **asdict(self.shares)}


def resemblance(features: np.ndarray, *, real: np.ndarray, scale: Callable[[np.ndarray], np.ndarray], seed: int = 0) -> Resemblance:
    """The numbers of `features [N, D]` against those of real images `[M, D]`, both brought to `scale` here.

    Raises:
        ValueError: a set has fewer than six items.
    """
    a, b = scale(real), scale(features)
    return Resemblance(frechet=frechet_distance(a, b), kernel=kernel_distance(a, b, seed=seed), shares=manifolds(a, b))
