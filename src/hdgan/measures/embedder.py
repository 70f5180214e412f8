"""Images become features: what an embedder must be able to do, whoever wrote it.

The one that ships is `scattering.py`; `encoder.py` runs networks that others trained. Another is any object with these names.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

_BEND = 3.0
"""Spreads at which the scale goes from linear to logarithmic."""


class Embedder(Protocol):
    """Fixed features of images. Distances of different embedders cannot be compared: name and hash go wherever a number goes."""

    name: str
    content_hash: str
    """Changes whenever a feature would."""
    num_features: int
    has_common_unit: bool
    """Whether features are compared as they are, as published for networks; else each in units of its spread."""

    def embed(self, images: np.ndarray) -> np.ndarray:
        """Features `[N, num_features]` float32 of images `[N, H, W, 3]` uint8, each image's on its own.

        Raises:
            ValueError: the images are not of the size that it was made for.
        """


def scale_of(embedder: Embedder, real: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """What brings features of the embedder to the units in which they are compared; `real [N, D]` are those of the real images."""
    return (lambda features: np.asarray(features, np.float64)) if embedder.has_common_unit else Scale(real)


class Scale:
    """Features in units of their spread over real images, so that none outweighs the others by its unit.

    Fitted on the real set of the measurement, and nothing else: distances of measurements against different real sets are in different units.
    Beyond some spreads it grows with the logarithm: else a few empty fields, whose features lie far out, would decide every distance.
    """

    def __init__(self, real: np.ndarray) -> None:
        """Takes the spread from features `real [N, D]`."""
        self.mean = real.mean(axis=0, dtype=np.float64)
        spread = real.std(axis=0, dtype=np.float64)
        # A feature that is constant over the real images has no unit of its own; what it finds in samples is kept as it is.
        self.spread = np.where(spread > 1e-6, spread, 1.0)

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """`features [N, D]` in spreads from the real mean, compressed far out; float64."""
        return np.asarray(_BEND * np.arcsinh((features - self.mean) / (_BEND * self.spread)))
