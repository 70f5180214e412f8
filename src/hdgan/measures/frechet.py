"""Frechet distance of two sets of features, each taken for a normal distribution (FID of Heusel et al., arXiv 1706.08500, eq. 6).

Letters: N items, D features.
"""

from __future__ import annotations

import numpy as np


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """|mean a - mean b|^2 + tr(A + B - 2 (A^1/2 B A^1/2)^1/2) of features `a [N, D]`, `b [M, D]` with covariances A and B; 0 or more.

    A finite sample of one source is at a distance above 0 from another, the more so the fewer items: state that floor beside it, from
    sets of the same sizes.

    Raises:
        ValueError: a set has fewer than two items, or a feature is not finite.
    """
    first, second = _moments(a), _moments(b)
    return gaussian_distance(*first, *second)


def gaussian_distance(mean_a: np.ndarray, cov_a: np.ndarray, mean_b: np.ndarray, cov_b: np.ndarray) -> float:
    """The same of means `[D]` and covariances `[D, D]`.

    The trace of (A^1/2 B A^1/2)^1/2 is the sum of the singular values of A^1/2 B^1/2: real and stable where A B is singular, as it is
    with fewer items than features (the matrix root of A B, which others take, then has complex parts that are thrown away).
    """
    overlap = np.linalg.svd(_root(cov_a) @ _root(cov_b), compute_uv=False).sum()
    distance = np.square(mean_a - mean_b).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * overlap
    return max(float(distance), 0.0)  # rounding takes equal sets a little below 0


def _moments(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean `[D]` and unbiased covariance `[D, D]`, float64."""
    x = np.asarray(features, np.float64)
    if len(x) < 2 or not np.isfinite(x).all():
        raise ValueError(f"{len(x)} items of features: at least 2, all finite, are needed")
    mean = x.mean(axis=0)
    centred = x - mean
    return mean, centred.T @ centred / (len(x) - 1)


def _root(covariance: np.ndarray) -> np.ndarray:
    """The symmetric square root of a symmetric matrix without negative eigenvalues but those of rounding."""
    values, vectors = np.linalg.eigh(covariance)
    root: np.ndarray = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    return root
