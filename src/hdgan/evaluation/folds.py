"""Cross-validation over all annotated images: every image is tested once, by a classifier that never saw it.

Part i is tested, part i + 1 chooses the epochs, the others train; with two parts there is none to choose, and the last epoch counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from hdgan.annotations.audit import count_pixels, presence
from hdgan.annotations.reader import AnnotationSet
from hdgan.annotations.split import RANDOM
from hdgan.errors import BadConfig
from hdgan.evaluation.compare import macro_boundary_iou
from hdgan.evaluation.counts import Counts, count
from hdgan.labels import ClassMap
from hdgan.measures.scores import score
from hdgan.progress import SILENT, Progress, track
from hdgan.randomness import stream

_SPOKEN = {"validate": "validation"}

Fit = Callable[[Sequence[str], Sequence[str]], Callable[[str], np.ndarray]]
"""From names of training and of validation images to a predictor of masks by name."""


def deal_folds(present: Mapping[str, frozenset[int]], *, num: int, seed: int) -> tuple[tuple[str, ...], ...]:
    """The names of `present` (name -> classes in its mask) in `num` parts whose sizes differ by at most one, rare classes spread first.

    Raises:
        BadConfig: there are fewer names than parts.
    """
    _refuse_more(num, len(present))
    names = sorted(present)
    order = [names[i] for i in stream(seed, "evaluation.folds").permutation(len(names))]
    room = [len(names) // num + (part < len(names) % num) for part in range(num)]
    parts: list[list[str]] = [[] for _ in range(num)]
    frequency = Counter(value for classes in present.values() for value in classes)
    rarest_first = sorted(order, key=lambda name: min((frequency[value] for value in present[name]), default=len(names)))
    for name in rarest_first:
        rarest = min(present[name], key=lambda value: (frequency[value], value), default=None)
        open_parts = [part for part in range(num) if len(parts[part]) < room[part]]
        of_class = {part: sum(rarest in present[other] for other in parts[part]) for part in open_parts}
        parts[min(open_parts, key=lambda part: (of_class[part], len(parts[part]), part))].append(name)
    return tuple(tuple(sorted(part)) for part in parts)


def refuse_more_folds(num: int, annotated: AnnotationSet) -> None:
    """Passes when the annotated images can be dealt into `num` parts.

    Raises:
        BadConfig: there are fewer images than parts.
    """
    _refuse_more(num, len(_dealt(annotated)))


def cross_validate(
    fit: Fit, annotated: AnnotationSet, *, num: int, distance_px: float, seed: int, progress: Progress = SILENT
) -> dict[str, Any]:
    """Pooled scores of `num` parts, mean and spread over parts, and what a part lacks, as plain data.

    Raises:
        BadConfig: there are fewer images than parts.
    """
    names = _dealt(annotated)
    present = presence({name: count_pixels(annotated.mask(name), annotated.classes)[0] for name in names})
    parts = deal_folds(present, num=num, seed=seed)
    found: list[Counts] = []
    rows = []
    for index in track(range(num), total=num, label="cross-validation", progress=progress):
        validate = parts[(index + 1) % num] if num > 2 else ()
        train = [name for part in parts for name in part if name not in parts[index] and name not in validate]
        missing = {"train": lacking(train, present, annotated.classes), "test": lacking(parts[index], present, annotated.classes)}
        if validate:
            missing["validate"] = lacking(validate, present, annotated.classes)
        for where, classes in missing.items():
            if classes:
                progress.say(f"part {index + 1} of {num}: no {', '.join(classes)} in its {_SPOKEN.get(where, where)} images")
        found.append(count(fit(train, validate), annotated, parts[index], distance_px=distance_px))
        rows.append({"test": list(parts[index]), "missing": missing, **_numbers(found[-1])})
    pooled = sum(counts.matrices.sum(axis=0) for counts in found)
    bands = sum(counts.bands.sum(axis=0) for counts in found)
    return {
        "num": num,
        "pooled": score(np.asarray(pooled)).to_json(),
        "macro_boundary_iou": _finite(macro_boundary_iou(np.asarray(bands))),
        "parts": rows,
        "mean": {name: _over(rows, name, np.mean) for name in ("macro_dice", "pixel_accuracy", "macro_boundary_iou")},
        "spread": {name: _over(rows, name, np.std) for name in ("macro_dice", "pixel_accuracy", "macro_boundary_iou")},
    }


def lacking(names: Sequence[str], present: Mapping[str, frozenset[int]], classes: ClassMap) -> list[str]:
    """The classes that occur in some image, but in none of those called `names`."""
    everywhere, here = (frozenset[int]().union(*(present[name] for name in group)) for group in (present, names))
    return [classes.names[value] for value in sorted(everywhere - here)]


def _numbers(counts: Counts) -> dict[str, float | None]:
    scores = score(counts.matrices.sum(axis=0))
    boundary = macro_boundary_iou(counts.bands.sum(axis=0))
    return {
        "macro_dice": _finite(scores.macro_dice),
        "pixel_accuracy": _finite(scores.pixel_accuracy),
        "macro_boundary_iou": _finite(boundary),
    }


def _over(rows: Sequence[Mapping[str, Any]], name: str, statistic: Callable[[Sequence[float]], Any]) -> float | None:
    """The statistic over the parts that have the number."""
    values = [row[name] for row in rows if row[name] is not None]
    return float(statistic(values)) if values else None


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _dealt(annotated: AnnotationSet) -> list[str]:
    """The annotated images that are dealt into parts: all but those drawn at random."""
    return [name for name in annotated.names if name not in annotated.split.get(RANDOM, ())]


def _refuse_more(num: int, most: int) -> None:
    if not 2 <= num <= most:
        raise BadConfig("evaluation.folds", f"{num} parts of {most} annotated images", f"give 2 to {most}")
