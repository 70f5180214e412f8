"""Does the uncertainty find the errors: two histograms of it, of right and of wrong pixels, from which ranks and quantiles follow.

Images of any size are added one by one in 4 MB. A bin holds the float32 numbers that agree in exponent and in 11 bits of the fraction: they differ by
less than a 2,048th of themselves, at any magnitude, and count as equal. So 0 has a bin of its own, and pixels that are nearly sure are still told apart.
Letters: B bins.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from hdgan.labels import IGNORE

RESOLUTION = 2.0**-11
"""Numbers of one bin differ by less than this share of themselves."""
HIGHEST = 8.0
"""Nats that no uncertainty reaches: with 255 classes it is at most 5.6."""
_CUT_BITS = 12
_NUM_BINS = int(np.float32(HIGHEST).view(np.uint32)) >> _CUT_BITS
_CHUNK_PIXELS = 2**20


@dataclass(frozen=True)
class Certainty:
    """Pixels by their uncertainty, from the surest on; arrays are int64 `[B]`. Images are added with `+`."""

    right: NDArray[np.int64]
    wrong: NDArray[np.int64]

    @property
    def auroc(self) -> float | None:
        """Chance that a wrong pixel is less certain than a right one (Mann and Whitney), equal ones half; None when all are right or all wrong.

        Off from that of the numbers themselves by at most half the share of the pairs that fall into one bin.
        """
        num_right, num_wrong = int(self.right.sum()), int(self.wrong.sum())
        if 0 in (num_right, num_wrong):
            return None
        surer = np.cumsum(self.right) - self.right / 2
        return float((self.wrong / num_wrong) @ (surer / num_right))  # shares: the number of pairs may not fit into 64 bits

    @property
    def accuracy(self) -> float | None:
        """Share of all pixels that is right; None without pixels."""
        total = int(self.right.sum() + self.wrong.sum())
        return int(self.right.sum()) / total if total else None

    def accuracy_of_most_certain(self, share: float) -> float | None:
        """Share that is right of the pixels up to the quantile `share` of the uncertainty, those of its bin among them; None without pixels."""
        num_right, num = self.most_certain(share)
        return num_right / num if num else None

    def most_certain(self, share: float) -> tuple[int, int]:
        """Of the pixels up to the quantile `share` of the uncertainty, those of its bin among them, how many are right, and how many there are."""
        up_to = np.cumsum(self.right + self.wrong)
        if up_to[-1] == 0:
            return 0, 0
        place = math.floor(Fraction(str(share)) * (int(up_to[-1]) - 1))
        last = int(np.searchsorted(up_to, place, side="right"))
        return int(self.right[: last + 1].sum()), int(up_to[last])

    def __add__(self, other: Certainty) -> Certainty:
        """The pixels of both."""
        return Certainty(self.right + other.right, self.wrong + other.wrong)


def certainty_of(mask: np.ndarray, uncertainty: np.ndarray, truth: np.ndarray) -> Certainty:
    """Of a `mask [...]` and its uncertainty (nats); pixels whose truth is 255 are skipped.

    Raises:
        ValueError: the shapes differ, or an uncertainty is not from 0 to below 8 nats.
    """
    if not mask.shape == uncertainty.shape == truth.shape:
        raise ValueError(f"mask {mask.shape}, uncertainty {uncertainty.shape} and truth {truth.shape} differ in shape")
    found = Certainty(np.zeros(_NUM_BINS, dtype=np.int64), np.zeros(_NUM_BINS, dtype=np.int64))
    flat = mask.ravel(), uncertainty.ravel(), truth.ravel()
    for start in range(0, mask.size, _CHUNK_PIXELS):
        shown, unsure, true = (values[start : start + _CHUNK_PIXELS] for values in flat)
        bins = _bins(unsure[true != IGNORE])
        is_wrong = (shown != true)[true != IGNORE]
        found.wrong[:] += np.bincount(bins[is_wrong], minlength=_NUM_BINS)
        found.right[:] += np.bincount(bins[~is_wrong], minlength=_NUM_BINS)
    return found


def _bins(uncertainty: np.ndarray) -> NDArray[np.int64]:
    """Float32 numbers that are not negative have the order of their bits."""
    if uncertainty.size and not (uncertainty.min() >= 0 and uncertainty.max() < HIGHEST):
        raise ValueError(f"an uncertainty is not from 0 to {HIGHEST:g} nats")
    positive = uncertainty.astype(np.float32) + np.float32(0)  # the bits of -0 would be those of the largest number
    return (positive.view(np.uint32) >> _CUT_BITS).astype(np.int64)
