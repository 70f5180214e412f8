"""Can a probability be believed, and how sure is an image: reliability diagram, calibration error, entropy, the score of an image.

A prediction is calibrated when, of the pixels that are given a probability of p, a share of p is right. Only the probability of the class that
is shown counts here (top-label calibration, Guo et al. 2017, arXiv 1706.04599). Counts are int64 and sums float64, so that images of any size
can be added.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from hdgan.labels import IGNORE

NUM_BINS = 15
TOP_SHARE = 0.1


@dataclass(frozen=True)
class Reliability:
    """Pixels in bins of equal width by the probability of their class, from 0 to 1; arrays are `[B]`. Images are added with `+`."""

    counts: np.ndarray
    """Pixels, int64."""
    right: np.ndarray
    """Of them, those whose class is the true one, int64."""
    confidences: np.ndarray
    """Sum of their probabilities, float64."""

    @property
    def edges(self) -> np.ndarray:
        """Of the bins, `[B + 1]`."""
        return np.linspace(0, 1, len(self.counts) + 1)

    @property
    def accuracy(self) -> np.ndarray:
        """Share that is right in each bin, nan where it is empty."""
        return _ratio(self.right, self.counts)

    @property
    def confidence(self) -> np.ndarray:
        """Mean probability in each bin, nan where it is empty."""
        return _ratio(self.confidences, self.counts)

    @property
    def ece(self) -> float:
        """Expected calibration error, 0 to 1: |accuracy - confidence|, a mean over pixels of the bins; nan without pixels."""
        total = int(self.counts.sum())
        return float(np.abs(self.right - self.confidences).sum() / total) if total else math.nan

    @property
    def overconfidence(self) -> float:
        """Mean probability less the share that is right, over all pixels; negative is too modest, nan without pixels."""
        total = int(self.counts.sum())
        return float((self.confidences.sum() - self.right.sum()) / total) if total else math.nan

    def __add__(self, other: Reliability) -> Reliability:
        """The pixels of both.

        Raises:
            ValueError: they have different numbers of bins.
        """
        if len(self.counts) != len(other.counts):
            raise ValueError(f"{len(self.counts)} and {len(other.counts)} bins")
        return Reliability(self.counts + other.counts, self.right + other.right, self.confidences + other.confidences)

    def to_json(self) -> dict[str, Any]:
        """Plain data: what a diagram draws, None where a bin is empty, and both errors."""
        columns = {"edges": self.edges, "accuracy": self.accuracy, "confidence": self.confidence}
        plain: dict[str, Any] = {name: [_plain(value) for value in values.tolist()] for name, values in columns.items()}
        return plain | {"counts": self.counts.tolist(), "ece": _plain(self.ece), "overconfidence": _plain(self.overconfidence)}


def reliability(probabilities: np.ndarray, truth: np.ndarray, *, num_bins: int = NUM_BINS) -> Reliability:
    """Of class probabilities `[K, ...]` and true classes `[...]`, the most probable class of each pixel; pixels whose truth is 255 are skipped.

    Raises:
        ValueError: the shapes do not fit.
    """
    if probabilities.shape[1:] != truth.shape:
        raise ValueError(f"probabilities {probabilities.shape} and truth {truth.shape} do not fit")
    return reliability_of(probabilities.max(axis=0), probabilities.argmax(axis=0), truth, num_bins=num_bins)


def reliability_of(confidence: np.ndarray, mask: np.ndarray, truth: np.ndarray, *, num_bins: int = NUM_BINS) -> Reliability:
    """Of a `mask [...]` and the probability `confidence [...]` of the class it shows; pixels whose truth is 255 are skipped.

    Raises:
        ValueError: the shapes differ, or a probability is not from 0 to 1.
    """
    if not confidence.shape == mask.shape == truth.shape:
        raise ValueError(f"confidence {confidence.shape}, mask {mask.shape} and truth {truth.shape} differ in shape")
    counted = truth != IGNORE
    values, right = confidence[counted].astype(np.float64), (mask == truth)[counted]
    if values.size and not (values.min() >= -1e-6 and values.max() <= 1 + 1e-6):
        raise ValueError("a probability is not from 0 to 1")
    bins = np.clip((values * num_bins).astype(np.int64), 0, num_bins - 1)
    return Reliability(
        counts=np.bincount(bins, minlength=num_bins).astype(np.int64),
        right=np.bincount(bins[right], minlength=num_bins).astype(np.int64),
        confidences=np.bincount(bins, weights=values, minlength=num_bins),
    )


def image_score(uncertainty: np.ndarray, *, top_share: float = TOP_SHARE) -> float:
    """The mean over the `top_share` most uncertain pixels (at least one) of a map `[H, W]`, in its unit (arXiv 2104.06490, section 3.3)."""
    values = uncertainty.astype(np.float64).ravel()
    count = max(1, math.floor(Fraction(str(top_share)) * values.size))
    return float(np.partition(values, values.size - count)[values.size - count :].mean())


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    ratio: np.ndarray = np.divide(above, below, out=np.full(len(below), np.nan), where=below > 0)
    return ratio


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
