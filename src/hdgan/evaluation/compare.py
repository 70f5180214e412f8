"""The numbers of the report: scores of a method's counts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdgan.evaluation.counts import Counts
from hdgan.labels import ClassMap
from hdgan.measures.boundary import pooled_boundary_iou
from hdgan.measures.intervals import bootstrap, over_same_classes
from hdgan.measures.scores import frequent_confusions, occurring, score

DEFINITIONS = {
    "recall": "share of the class's true pixels that were predicted as the class; the paper calls it class-wise accuracy",
    "precision": "share of the pixels predicted as the class that are of the class",
    "iou": "pixels of both / pixels of either",
    "dice": "2 * pixels of both / (true pixels + predicted pixels)",
    "macro": "mean over the classes that occur in truth or prediction, pooled over images",
    "pixel_accuracy": "share of all pixels that are right = micro Dice; what the paper's average Dice of 0.92 measures",
    "boundary_iou": "of the pixels of a class near its contour, those of both masks / those of either (arXiv 2103.16562); the image's edge is no contour",
    "hd95": "distance within which 95 % of each mask's contour lies from the other's, the larger of both directions; median over images",
    "absent_classes": "a class in neither truth nor prediction has no score and enters no mean; one that is only predicted has Dice 0 and no recall; "
    "one that is only missed has recall and Dice 0 and no precision. Where only one of both masks has a contour, its distance counts as infinite",
    "blends": "places where the annotator saw two tissues run into one; they count, unless a number says that it is without them",
    "interval": "95 % percentile bootstrap over images; draws that lack a class are left out where it counts: a mean over fewer classes is another number",
}

_NUM_CONFUSIONS = 10


def method_report(counts: Counts, classes: ClassMap, *, distance_px: float, mpp: float | None, resamples: int, seed: int) -> dict[str, Any]:
    """Pooled and per-image scores of one method, with intervals of the main ones, as plain data; docs/formats/evaluation.md."""
    pooled = counts.matrices.sum(axis=0)
    return {
        "confusion": pooled.tolist(),
        "pooled": score(pooled).to_json(),
        "without_blends": _without_blends(counts),
        "boundary": _boundary(counts, distance_px=distance_px, mpp=mpp),
        "intervals": _intervals(counts, resamples=resamples, seed=seed),
        "confusions": [_named(row._asdict(), classes) for row in frequent_confusions(pooled, num=_NUM_CONFUSIONS)],
        "per_image": {name: _image(counts, index) for index, name in enumerate(counts.names)},
    }


def macro_boundary_iou(bands: NDArray[np.int64]) -> float:
    """Mean boundary IoU over the classes with a contour, of pooled counts `[2, C]`; nan without any."""
    found = pooled_boundary_iou(bands)
    defined = found[~np.isnan(found)]
    return float(defined.mean()) if len(defined) else math.nan


def macro_hd95(distances: NDArray[np.float64]) -> float:
    """Mean over the classes of their median over images, px, of `[N, C]`; inf where a class is mostly missed or invented, nan without any."""
    medians = [_median(column) for column in distances.T]
    defined = [value for value in medians if not math.isnan(value)]
    return float(np.mean(defined)) if defined else math.nan


def worst_first(report: Mapping[str, Any]) -> list[str]:
    """The names of a method's images, the lowest macro Dice first; equal ones by name."""
    dice = {name: row["macro"]["dice"] for name, row in report["per_image"].items()}
    return sorted(dice, key=lambda name: (2.0 if dice[name] is None else dice[name], name))


def class_rows(report: Mapping[str, Any], classes: ClassMap) -> list[list[str]]:
    """A line for each class: recall, precision, IoU, Dice and its interval, share of the truth's pixels, in per cent, and the pixels themselves."""
    per_class, pixels = report["pooled"]["per_class"], np.array(report["confusion"]).sum(axis=1)
    rows = []
    for i, name in enumerate(classes.names):
        recall, precision, iou, dice, frequency = (
            percent(per_class[key][i]) for key in ("recall", "precision", "iou", "dice", "frequency")
        )
        rows.append([name, recall, precision, iou, dice, between(report["intervals"]["dice"][i]), frequency, f"{pixels[i]:,}"])
    return rows


def percent(value: float | None) -> str:
    """Such as 71.3; a dash where there is none."""
    return "–" if value is None else f"{100 * value:.1f}"  # noqa: RUF001 - a dash


def between(ends: Sequence[float] | None) -> str:
    """An interval in per cent, such as "61.0 to 74.2"; a dash where there is none."""
    return "–" if ends is None else f"{percent(ends[0])} to {percent(ends[1])}"  # noqa: RUF001 - a dash


def _intervals(counts: Counts, *, resamples: int, seed: int) -> dict[str, Any]:
    def of(stacked: NDArray[np.int64], statistic: Callable[[np.ndarray], float]) -> list[float] | None:
        low, high = bootstrap(stacked, statistic, seed=seed, num=resamples)
        return [low, high] if math.isfinite(low) and math.isfinite(high) else None

    def of_class(index: int) -> Callable[[np.ndarray], float]:
        return over_same_classes(lambda matrix: float(score(matrix).dice[index]), matrices, occurs=lambda found: occurring(found)[0, index])

    matrices = counts.matrices
    found: dict[str, Any] = {
        name: of(matrices, over_same_classes(partial(_score_of, name=name), matrices)) for name in ("macro_dice", "macro_recall")
    }
    found["pixel_accuracy"] = of(matrices, partial(_score_of, name="pixel_accuracy"))
    truths = np.concatenate([counts.bands, matrices.sum(axis=2)[:, None]], axis=1)  # [N, 3, C]: both bands, either, pixels of the truth
    found["macro_boundary_iou"] = of(
        truths, over_same_classes(lambda pooled: macro_boundary_iou(pooled[:2]), truths, occurs=lambda pooled: pooled[1:] > 0)
    )
    found["dice"] = [of(matrices, of_class(index)) for index in range(matrices.shape[1])]
    return found


def _score_of(matrix: NDArray[np.int64], *, name: str) -> float:
    return float(getattr(score(matrix), name))


def _without_blends(counts: Counts) -> dict[str, Any] | None:
    if not counts.has_blends:
        return None
    clear = counts.clear.sum(axis=0)
    return score(clear).to_json() | {"num_blended": int(counts.matrices.sum() - clear.sum())}


def _boundary(counts: Counts, *, distance_px: float, mpp: float | None) -> dict[str, Any]:
    bands, medians = counts.bands.sum(axis=0), [_median(column) for column in counts.hd95.T]
    found: dict[str, Any] = {
        "distance_px": distance_px,
        "iou": [_number(value) for value in pooled_boundary_iou(bands)],
        "macro_iou": _number(macro_boundary_iou(bands)),
        "hd95_px": [_number(value) for value in medians],
        "macro_hd95_px": _number(macro_hd95(counts.hd95)),
        "images_with_contour": (~np.isnan(counts.hd95)).sum(axis=0).tolist(),
        "images_with_one_contour": np.isinf(counts.hd95).sum(axis=0).tolist(),
    }
    return found if mpp is None else found | {"hd95_um": [_number(value * mpp) for value in medians]}


def _image(counts: Counts, index: int) -> dict[str, Any]:
    ious = [_number(value) for value in pooled_boundary_iou(counts.bands[index])]
    distances = [_number(value) for value in counts.hd95[index]]
    macro = _number(macro_boundary_iou(counts.bands[index]))
    return score(counts.matrices[index]).to_json() | {"boundary_iou": ious, "macro_boundary_iou": macro, "hd95_px": distances}


def _median(values: NDArray[np.float64]) -> float:
    """The median of those that are defined; of an even number the upper middle one, so that no infinity is halved."""
    defined = np.sort(values[~np.isnan(values)])
    return float(defined[len(defined) // 2]) if len(defined) else math.nan


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _named(row: dict[str, Any], classes: ClassMap) -> dict[str, Any]:
    return row | {"truth": classes.names[row["truth"]], "taken_for": classes.names[row["taken_for"]]}
