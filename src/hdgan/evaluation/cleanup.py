"""Contour clean-up, measured: the same predictions before and after, on validation images (which decide) and on the test sets (which do not)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from hdgan.evaluation.compare import macro_boundary_iou, macro_hd95
from hdgan.evaluation.counts import Counts
from hdgan.measures.scores import score
from hdgan.refinement.config import RefinementConfig


def cleanup_report(config: RefinementConfig, parts: Mapping[str, tuple[Counts, Counts]]) -> dict[str, Any]:
    """Scores before and after in each part ("validate", "test", perhaps "random"), and `is_better`: whether boundary IoU rises on the validation images.

    `is_better` is None without validation images: nothing else may decide.
    """
    found = {part: {"before": _summary(before), "after": _summary(after)} for part, (before, after) in parts.items()}
    is_better = None
    if "validate" in found:
        before, after = (found["validate"][when]["macro_boundary_iou"] for when in ("before", "after"))
        is_better = before is not None and after is not None and after > before
    return {"settings": config.model_dump(mode="json"), "parts": found, "is_better": is_better}


def verdict(report: Mapping[str, Any]) -> str:
    """What the user should do, in a sentence."""
    if report["is_better"] is None:
        return "No image is held out for validation, so nothing can decide whether the clean-up helps; it stays off."
    if report["is_better"]:
        return "Boundary IoU rises on the validation images: a section [dataset.refinement] with these settings applies it to the dataset."
    return "Boundary IoU does not rise on the validation images: leave it off."


def _summary(counts: Counts) -> dict[str, float | None]:
    scores = score(counts.matrices.sum(axis=0))
    pairs: Mapping[str, Callable[[], float]] = {
        "macro_dice": lambda: scores.macro_dice,
        "pixel_accuracy": lambda: scores.pixel_accuracy,
        "macro_boundary_iou": lambda: macro_boundary_iou(counts.bands.sum(axis=0)),
        "macro_hd95_px": lambda: macro_hd95(counts.hd95),
    }
    values = {name: value() for name, value in pairs.items()}
    return {name: float(value) if np.isfinite(value) else None for name, value in values.items()}
