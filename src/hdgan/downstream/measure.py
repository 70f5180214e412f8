"""How well a predictor labels images: pooled scores per class with intervals, as plain data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hdgan.downstream.fit import Pairs
from hdgan.labels import ClassMap
from hdgan.measures.confusion import confusion
from hdgan.measures.intervals import bootstrap, over_same_classes
from hdgan.measures.scores import occurring, score

Predictor = Callable[[np.ndarray], np.ndarray]
"""Image uint8 `[H, W, 3]` in, mask uint8 `[H, W]` out."""


def label_all(predict: Predictor, pairs: Pairs) -> list[np.ndarray]:
    """The masks that `predict` gives to the images of `pairs`."""
    return [predict(pairs.pair(index)[0]) for index in range(len(pairs))]


def measure(predictions: Sequence[np.ndarray], pairs: Pairs, *, classes: ClassMap, seed: int, resamples: int = 1000) -> dict[str, Any]:
    """Scores of `predictions` against the masks of `pairs`: pooled, with 95 % intervals of Dice over images; None where undefined.

    Classes that occur neither in truth nor in prediction have no score.
    """
    matrices = np.stack([confusion(pairs.pair(index)[1], prediction, len(classes)) for index, prediction in enumerate(predictions)])
    pooled = score(matrices.sum(axis=0))
    plain = pooled.to_json()
    rows = []
    for index, name in enumerate(classes.names):
        values = {key: plain["per_class"][key][index] for key in ("dice", "recall", "precision", "iou", "frequency")}
        low, high = (
            bootstrap(matrices, _class_dice(index, matrices), seed=seed, num=resamples) if values["dice"] is not None else (None, None)
        )
        num_images = int((matrices[:, index, :].sum(axis=1) > 0).sum())
        rows.append({"class": name, **values, "dice_interval": _interval(low, high), "images_with_class": num_images})
    macro_dice = over_same_classes(lambda matrix: score(matrix).macro_dice, matrices)
    low, high = bootstrap(matrices, macro_dice, seed=seed, num=resamples)
    return {
        "classes": rows,
        "macro_dice": plain["macro"]["dice"],
        "macro_dice_interval": _interval(low, high),
        "pixel_accuracy": plain["pixel_accuracy"],
        "num_images": len(predictions),
        "num_pixels": plain["num_pixels"],
        "confusion": matrices.sum(axis=0).tolist(),
    }


def _class_dice(index: int, matrices: np.ndarray) -> Callable[[np.ndarray], float]:
    return over_same_classes(lambda matrix: float(score(matrix).dice[index]), matrices, occurs=lambda found: occurring(found)[0, index])


def _interval(low: float | None, high: float | None) -> list[float] | None:
    return None if low is None or high is None or not np.isfinite([low, high]).all() else [low, high]
