"""Scores of a confusion matrix, per class and over all classes, each with its definition.

With t truth pixels, p predicted pixels and c pixels of both of a class: recall c / t (the paper's "class-wise
accuracy"), precision c / p, IoU c / (t + p - c), Dice 2 c / (t + p). A class absent from truth and prediction has no
score (nan) and does not enter the macro means; one that is only predicted has Dice 0 and no recall, one that is only missed recall 0 and
no precision. Micro Dice, micro IoU's counterpart pixel accuracy, is the share of
pixels that are right; it is what the paper's "Dice 0.92" measures (docs/concepts/numbers.md).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np


@dataclass(frozen=True)
class Scores:
    """Arrays are `[C]` float64, nan where undefined."""

    recall: np.ndarray
    precision: np.ndarray
    iou: np.ndarray
    dice: np.ndarray
    frequency: np.ndarray
    """Share of the truth's pixels."""
    pixel_accuracy: float
    """Share of pixels that are right; equals micro Dice."""
    num_pixels: int

    @property
    def macro_dice(self) -> float:
        """Mean Dice over the classes that occur."""
        return _mean(self.dice)

    @property
    def macro_recall(self) -> float:
        """Mean recall over the classes that occur in the truth."""
        return _mean(self.recall)

    @property
    def macro_precision(self) -> float:
        """Mean precision over the classes that were predicted."""
        return _mean(self.precision)

    @property
    def macro_iou(self) -> float:
        """Mean IoU over the classes that occur."""
        return _mean(self.iou)

    def to_json(self) -> dict[str, Any]:
        """Plain data, None where undefined."""
        per_class = {name: _plain(getattr(self, name)) for name in ("recall", "precision", "iou", "dice", "frequency")}
        macro = {name: _number(getattr(self, f"macro_{name}")) for name in ("dice", "recall", "precision", "iou")}
        return {"per_class": per_class, "macro": macro, "pixel_accuracy": _number(self.pixel_accuracy), "num_pixels": self.num_pixels}


def score(matrix: np.ndarray) -> Scores:
    """The scores of a confusion matrix `[C, C]` (rows truth, columns prediction)."""
    right = np.diag(matrix).astype(np.float64)
    truth, predicted = matrix.sum(axis=1).astype(np.float64), matrix.sum(axis=0).astype(np.float64)
    total = int(matrix.sum())
    return Scores(
        recall=_ratio(right, truth),
        precision=_ratio(right, predicted),
        iou=_ratio(right, truth + predicted - right),
        dice=_ratio(2 * right, truth + predicted),
        frequency=_ratio(truth, np.full_like(truth, total)),
        pixel_accuracy=float(right.sum() / total) if total else math.nan,
        num_pixels=total,
    )


def kappa(matrix: np.ndarray) -> float:
    """Agreement of the two sides of a confusion matrix `[C, C]` beyond chance (Cohen 1960): 1 on all pixels, 0 as often as by their shares of the classes.

    nan where chance alone would make them agree everywhere, or nothing was counted.
    """
    total = float(matrix.sum())
    if not total:
        return math.nan
    agreed = float(np.diag(matrix).sum()) / total
    by_chance = float((matrix.sum(axis=1) / total * (matrix.sum(axis=0) / total)).sum())
    return math.nan if by_chance == 1.0 else (agreed - by_chance) / (1.0 - by_chance)


def occurring(matrix: np.ndarray) -> np.ndarray:
    """Which classes occur, bool `[..., 2, C]`: in the truth, and in truth or prediction, of confusion matrices `[..., C, C]`."""
    truth, predicted = matrix.sum(axis=-1) > 0, matrix.sum(axis=-2) > 0
    return np.stack([truth, truth | predicted], axis=-2)


class Confusion(NamedTuple):
    """Pixels of one class that were taken for another."""

    truth: int
    taken_for: int
    pixels: int
    share: float
    """Of the true pixels of the class."""


def frequent_confusions(matrix: np.ndarray, *, num: int = 10) -> list[Confusion]:
    """The `num` pairs of classes that are confused most, by the share of the true class; then by pixels, then by number.

    By pixels alone a frequent class would fill the list, and that a rare one is mostly missed would not be seen.
    """
    truth = matrix.sum(axis=1)
    found = [
        Confusion(i, j, int(matrix[i, j]), float(matrix[i, j] / truth[i]))
        for i in range(len(matrix))
        for j in range(len(matrix))
        if i != j and matrix[i, j]
    ]
    return sorted(found, key=lambda row: (-row.share, -row.pixels, row.truth, row.taken_for))[:num]


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    ratio: np.ndarray = np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0)
    return ratio


def _mean(values: np.ndarray) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else math.nan


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _plain(values: np.ndarray) -> list[float | None]:
    return [_number(float(value)) for value in values]
