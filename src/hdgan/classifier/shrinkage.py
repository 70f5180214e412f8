"""Fewer features: principal components of the training pixels, which a finished classifier takes back into its first layer.

A projection is linear, as standardisation and a first layer are: it is applied while pixels are gathered, so that the table of pixels is
as narrow as what is learnt from, and it is multiplied into the first layer afterwards, so that it costs nothing when images are labelled.
Letters: P pixels, C channels, N components.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from hdgan.features.moments import Standardiser
from hdgan.features.upsample import gather
from hdgan.randomness import stream
from hdgan.store.hashing import hash_array
from hdgan.training.memory import trim
from hdgan.training.threads import one_thread

PIXELS_PER_IMAGE = 1024
"""Pixels of each training image whose covariance is measured."""
_FLOOR = 1e-4
"""Least variance of a component, as a share of the largest: beyond it whitening would only magnify rounding."""


def principal(
    images: Sequence[tuple[Sequence[Tensor], np.ndarray]], *, standardiser: Standardiser, num: int, whitening: float, seed: int
) -> Tensor:
    """`[C, N]` float32: standardised features times it are the `num` (at most C) largest components, the largest of spread 1.

    The variance of each is that of the data to the power 1 - `whitening`, in units of the largest. Pixels are drawn from whole images,
    labelled or not.
    """
    total, count = torch.zeros(len(standardiser.mean), len(standardiser.mean), dtype=torch.float64), 0
    for i, (maps, mask) in enumerate(images):
        places = stream(seed, "classifier.components", i).choice(mask.size, size=min(mask.size, PIXELS_PER_IMAGE), replace=False)
        rows, columns = (torch.from_numpy(part) for part in np.divmod(np.sort(places), mask.shape[1]))
        features = standardiser(gather(maps, rows, columns, size=mask.shape[0]))
        with one_thread():  # the sums would else depend on the number of threads
            total += (features.t() @ features).double()
        count += len(features)
    trim()  # what gathering freed would be held beside several matrices as large as the covariance
    with one_thread():
        variances, directions = torch.linalg.eigh(total.div_(count))
    del total
    variances, directions = variances.flip(0)[:num], directions.flip(1)[:, :num]
    scaled = (variances / variances[0]).clamp(min=_FLOOR)
    projection: Tensor = directions / (variances[0].sqrt() * scaled ** (whitening / 2))
    return projection.float()


@dataclass(frozen=True)
class Reading:
    """How a pixel's features are read from maps: as they are, standardised, or shrunk to components; `width` values each.

    Raw without a `standardiser`; a `projection [C, N]` is of standardised features.
    """

    width: int
    standardiser: Standardiser | None = None
    projection: Tensor | None = None

    @classmethod
    def of(cls, standardiser: Standardiser, projection: Tensor | None = None) -> Reading:
        """Standardised features, projected where a projection is given."""
        return cls(len(standardiser.mean) if projection is None else projection.shape[1], standardiser, projection)

    @cached_property
    def fingerprint(self) -> str:
        """Equal for readings that give equal values."""
        moments = (None, None) if self.standardiser is None else (self.standardiser.mean, self.standardiser.std)
        return "-".join("" if part is None else hash_array(part.numpy()) for part in (*moments, self.projection))

    def __call__(self, maps: Sequence[Tensor], rows: Tensor, columns: Tensor, *, size: int) -> Tensor:
        """`[P, width]` of the pixels (`rows`, `columns`) of an image of `size` px with the maps `[C, S, S]`."""
        if self.standardiser is None:
            return gather(maps, rows, columns, size=size)
        mean, std = self.standardiser.mean, self.standardiser.std
        if self.projection is None:
            return gather(maps, rows, columns, size=size).sub_(mean).div_(std)
        matrix = self.projection.double() / std.double().unsqueeze(1)
        with one_thread():
            found = -(mean.double() @ matrix).float().repeat(len(rows), 1)
        # Map by map, so that [P, C] never exists.
        for m, part in zip(maps, torch.split(matrix.float(), [len(m) for m in maps]), strict=True):
            values = gather([m], rows, columns, size=size)
            with one_thread():  # see `principal`
                found += values @ part
        return found
