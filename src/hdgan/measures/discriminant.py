"""Linear discriminant analysis (Fisher 1936) with a shrunken common covariance: how far classes can be told apart by a plane.

Closed form, no random draw: a probe that says what features hold, not how well something was trained. P pixels, C features, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SHRINKAGE = 0.01
"""Share of the covariance that is replaced by a multiple of the identity: as many channels as pixels would else fit anything."""


@dataclass(frozen=True)
class Discriminant:
    """`weight [C, K]`, `bias [K]`; classes that no pixel showed have a bias of minus infinity. `mean` and `scale [C]` standardise."""

    weight: NDArray[np.float64]
    bias: NDArray[np.float64]
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]

    def labels(self, features: NDArray[np.floating]) -> NDArray[np.uint8]:
        """The likeliest class of each row of `features [P, C]`, uint8 `[P]`."""
        scores = ((features - self.mean) / self.scale) @ self.weight + self.bias
        found: NDArray[np.uint8] = scores.argmax(axis=1).astype(np.uint8)
        return found


def discriminant(
    features: NDArray[np.floating], labels: NDArray[np.integer], *, shares: NDArray[np.floating], shrinkage: float = SHRINKAGE
) -> Discriminant:
    """The discriminant of `features [P, C]` with classes `labels [P]`, for classes that occur in `shares [K]` (their prior chances).

    Features are standardised within classes, so that no unit of theirs matters.

    Raises:
        ValueError: fewer than two classes occur.
    """
    present = [int(k) for k in np.unique(labels)]
    if len(present) < 2:
        raise ValueError(f"a discriminant needs two classes, received {present}")
    values = features.astype(np.float64)
    centre = values.mean(axis=0)
    means = np.stack([values[labels == k].mean(axis=0) for k in present])
    within = values - means[np.searchsorted(present, labels)]
    scale = within.std(axis=0)
    scale[scale < 1e-9] = 1.0
    within /= scale
    covariance = within.T @ within / len(values)
    num = len(covariance)
    covariance = (1 - shrinkage) * covariance + shrinkage * np.trace(covariance) / num * np.eye(num)
    standard = (means - centre) / scale
    solved = np.linalg.solve(covariance, standard.T)
    weight, bias = np.zeros((num, len(shares))), np.full(len(shares), -np.inf)
    weight[:, present] = solved
    bias[present] = np.log(np.maximum(shares[present], 1e-12)) - 0.5 * (standard * solved.T).sum(axis=1)
    return Discriminant(weight, bias, centre, scale)
