"""Images become features: what an embedder must be able to do, whoever wrote it.

The one that ships is `scattering.py`. Another, such as an Inception or a pathology network, is any object with these four names: nothing here
loads weights.
"""

from __future__ import annotations

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

    def embed(self, images: np.ndarray) -> np.ndarray:
        """Features `[N, num_features]` float32 of images `[N, H, W, 3]` uint8, each image's on its own.

        Raises:
            ValueError: the images are not of the size that it was made for.
        """


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
