"""Do the samples lie among the real images, and do all real images have samples near them: four shares from nearest neighbours.

Improved precision and recall (Kynkaanniemi et al., arXiv 1904.06991, eq. 1 to 3) and density and coverage (Naeem et al., arXiv 2002.09797,
eq. 2 and 4). Distances are worked out in blocks, so memory does not grow with the product of the sets. Letters: N items, D features, k neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

PRECISION_NEIGHBOURS = 3
DENSITY_NEIGHBOURS = 5
_BLOCK = 1 << 22
"""Distances held at once: 32 MB."""


@dataclass(frozen=True)
class Manifolds:
    """How two sets overlap; each number is near that of two real sets when the samples are good."""

    precision: float
    """Share of samples within the reach of a real image: whether they are plausible."""
    recall: float
    """Share of real images within the reach of a sample: whether nothing is missing."""
    density: float
    """How many real images' reaches a sample lies in, as a share of the expected: as precision, and an outlier counts for less; may exceed 1."""
    coverage: float
    """Share of real images with a sample within their own reach: as recall, and samples that are outliers do not count."""


def manifolds(real: np.ndarray, fake: np.ndarray) -> Manifolds:
    """The four shares of features `real [N, D]` and `fake [M, D]`, with k = 3 (precision, recall) and 5 (density, coverage).

    Raises:
        ValueError: a set has no more items than neighbours are asked for.
    """
    near, wide = PRECISION_NEIGHBOURS, DENSITY_NEIGHBOURS
    real_near, real_wide = reaches(real, near), reaches(real, wide)
    fake_near = reaches(fake, near)
    is_plausible = np.zeros(len(fake), bool)
    num_around = np.zeros(len(fake), np.int64)
    is_found, is_covered = np.zeros(len(real), bool), np.zeros(len(real), bool)
    for rows, squared in _blocks(fake, real):
        is_plausible[rows] = (squared <= real_near).any(axis=1)
        inside = squared <= real_wide
        num_around[rows] = inside.sum(axis=1)
        is_covered |= inside.any(axis=0)
        is_found |= (squared <= fake_near[rows, None]).any(axis=0)
    return Manifolds(
        precision=float(is_plausible.mean()),
        recall=float(is_found.mean()),
        density=float(num_around.mean() / wide),
        coverage=float(is_covered.mean()),
    )


def reaches(points: np.ndarray, k: int) -> np.ndarray:
    """Squared distance `[N]` float64 of each item of `points [N, D]` to the k-th nearest of the others.

    Raises:
        ValueError: there are not more than k items.
    """
    if len(points) <= k:
        raise ValueError(f"{len(points)} items have no {k} neighbours each")
    reach = np.empty(len(points))
    for rows, squared in _blocks(points, points):
        squared[np.arange(rows.stop - rows.start), np.arange(rows.start, rows.stop)] = np.inf
        reach[rows] = np.partition(squared, k - 1, axis=1)[:, k - 1]
    return reach


def _blocks(a: np.ndarray, b: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Squared distances `[rows, M]` of some rows of `a [N, D]` to all of `b [M, D]`, float64."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    centre = b.mean(axis=0)  # far from the origin |a|^2 + |b|^2 - 2 a.b would cancel
    a, b = a - centre, b - centre
    lengths = np.square(b).sum(axis=1)
    step = max(1, _BLOCK // len(b))
    for first in range(0, len(a), step):
        part = a[first : first + step]
        squared = np.square(part).sum(axis=1)[:, None] + lengths - 2 * (part @ b.T)
        yield slice(first, first + len(part)), np.maximum(squared, 0)
