"""Every method's confusion matrices on the held-out images, and the numbers of the report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from hdgan.annotations.reader import AnnotationSet
from hdgan.labels import IGNORE, ClassMap
from hdgan.measures.confusion import confusion
from hdgan.measures.intervals import bootstrap
from hdgan.measures.scores import Scores, score

DEFINITIONS = {
    "recall": "share of the class's true pixels that were predicted as the class; the paper calls it class-wise accuracy",
    "precision": "share of the pixels predicted as the class that are of the class",
    "iou": "pixels of both / pixels of either",
    "dice": "2 * pixels of both / (true pixels + predicted pixels)",
    "macro": "mean over the classes that occur in truth or prediction, pooled over images",
    "pixel_accuracy": "share of all pixels that are right = micro Dice; what the paper's average Dice of 0.92 measures",
    "interval": "95 % percentile bootstrap over images",
}


def matrices(predict: Callable[[str], np.ndarray], annotated: AnnotationSet, names: Sequence[str]) -> np.ndarray:
    """Confusion matrices `[N, C, C]` int64 of the images called `names`."""
    num_classes = len(annotated.classes)
    return np.stack([confusion(annotated.mask(name), predict(name), num_classes) for name in names])


def method_report(found: np.ndarray, names: Sequence[str], *, resamples: int, seed: int) -> dict[str, Any]:
    """Pooled and per-image scores of one method, with intervals of the main ones."""
    statistics: Mapping[str, Callable[[Scores], float]] = {
        "macro_dice": lambda s: s.macro_dice,
        "macro_recall": lambda s: s.macro_recall,
        "pixel_accuracy": lambda s: s.pixel_accuracy,
    }
    intervals = {}
    for name, pick in statistics.items():

        def statistic(matrix: np.ndarray, pick: Callable[[Scores], float] = pick) -> float:
            return pick(score(matrix))

        low, high = bootstrap(found, statistic, seed=seed, num=resamples)
        intervals[name] = None if np.isnan(low) else [low, high]
    return {
        "confusion": found.sum(axis=0).tolist(),
        "pooled": score(found.sum(axis=0)).to_json(),
        "intervals": intervals,
        "per_image": {name: score(matrix).to_json() for name, matrix in zip(names, found, strict=True)},
    }


def certainty_report(masks: Mapping[str, np.ndarray], uncertainties: Mapping[str, np.ndarray], annotated: AnnotationSet) -> dict[str, Any]:
    """Does the uncertainty find the errors? Area under the ROC curve, and accuracy of the 90 % most certain pixels."""
    wrong, unsure = [], []
    for name, mask in masks.items():
        truth = annotated.mask(name)
        counted = truth != IGNORE
        wrong.append((mask != truth)[counted])
        unsure.append(uncertainties[name][counted])
    is_wrong, values = np.concatenate(wrong), np.concatenate(unsure)
    certain = values <= np.quantile(values, 0.9)
    return {
        "auroc": _auroc(is_wrong, values),
        "accuracy_of_all": float(1 - is_wrong.mean()),
        "accuracy_of_most_certain_90_percent": float(1 - is_wrong[certain].mean()),
    }


def _auroc(is_wrong: np.ndarray, values: np.ndarray) -> float | None:
    """Chance that a wrong pixel is less certain than a right one (Mann and Whitney); None when all are right or all wrong."""
    num_wrong = int(is_wrong.sum())
    if num_wrong in (0, len(is_wrong)):
        return None
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks = (last - (counts - 1) / 2)[place]  # ties share their mean rank
    above = ranks[is_wrong].sum() - num_wrong * (num_wrong + 1) / 2
    return float(above / (num_wrong * (len(is_wrong) - num_wrong)))


def class_rows(report: Mapping[str, Any], classes: ClassMap) -> list[list[str]]:
    """A line for each class: recall, precision, IoU, Dice, share of the truth's pixels, in per cent."""
    per_class = report["pooled"]["per_class"]
    columns = ("recall", "precision", "iou", "dice", "frequency")
    return [[name, *(percent(per_class[column][i]) for column in columns)] for i, name in enumerate(classes.names)]


def percent(value: float | None) -> str:
    """Such as 71.3; a dash where there is none."""
    return "–" if value is None else f"{100 * value:.1f}"  # noqa: RUF001 - a dash
