"""One number on the images of a generator in training: how far they are from a fixed set of real crops, in the offline embedder's features.

Draws and crops are the same at every call, so that two snapshots differ by the generator alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from hdgan.generator.crops import Crops
from hdgan.generator.protocol import to_uint8
from hdgan.measures.embedder import Embedder, scale_of
from hdgan.measures.frechet import frechet_distance
from hdgan.measures.scattering import Scattering
from hdgan.training.seeds import torch_stream

_REAL, _AGAIN = 2 * 10**12, 3 * 10**12
"""Numbers of the first crops; no training gets there."""
_PIXELS_AT_ONCE = 1 << 20


class Yardstick:
    """`num` real crops, and another `num` of them for the floor; read and embedded once, when first asked for."""

    def __init__(self, crops: Crops, *, num: int, embedder: Embedder | None = None) -> None:
        """Reads nothing yet: a training that is taken up and stopped again before its next grid need not wait for it."""
        self.num = num
        self._crops = crops
        self._labels = crops.batch_labels(_REAL, num)
        self._embedder = embedder or Scattering(crops.size_px)
        self._step = max(1, _PIXELS_AT_ONCE // crops.size_px**2)

    @cached_property
    def _measure(self) -> tuple[Callable[[np.ndarray], np.ndarray], np.ndarray]:
        """The scale of the features, and those of the real crops on it.

        Raises:
            ValueError: there are fewer than two.
        """
        real = self._embedded(_numbered(self._crops, _REAL))
        scale = scale_of(self._embedder, real)
        return scale, scale(real)

    @cached_property
    def floor(self) -> float:
        """The distance of as many other crops of the same tiles: better than this no generator can look."""
        scale, real = self._measure
        return frechet_distance(real, scale(self._embedded(_numbered(self._crops, _AGAIN))))

    def distance(self, draw: Callable[[Tensor, Sequence[int] | None], Tensor], *, z_dim: int, device: torch.device) -> float:
        """Frechet distance to the real crops of the images `[n, 3, R, R]` (-1 to 1) that `draw` makes of latents `[n, z_dim]`.

        `draw` is also given the labels of as many real crops, where tiles have labels.

        Raises:
            ValueError: an image has a value that is not finite.
        """
        z = torch.randn(self.num, z_dim, generator=torch_stream(0, "generator.yardstick"))
        with torch.no_grad():
            labels = self._labels
            features = self._embedded(lambda i, n: to_uint8(draw(z[i : i + n].to(device), labels[i : i + n] if labels else None)))
        scale, real = self._measure
        return frechet_distance(real, scale(features))

    def _embedded(self, images: Callable[[int, int], np.ndarray]) -> np.ndarray:
        """Features `[num, D]` of `images(first, number)`, a part held at a time."""
        firsts = range(0, self.num, self._step)
        return np.concatenate([self._embedder.embed(images(i, min(self._step, self.num - i))) for i in firsts])


def _numbered(crops: Crops, start: int) -> Callable[[int, int], np.ndarray]:
    """Crops from number `start` on, by first number and count, `[n, R, R, 3]` uint8."""
    return lambda first, num: crops.pictures(start + first, num)
