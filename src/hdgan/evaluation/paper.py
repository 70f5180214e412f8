"""The table of the paper (arXiv 2207.02712, Table 1): class-wise accuracy, here with Dice beside it, as text.

The paper prints one "average Dice" of 0.92 below it; both numbers that this can mean stand here under their own names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hdgan.evaluation.compare import percent

_PRINTED: Mapping[str, float] = {
    "whitespace": 0.6842,
    "cortical tubulointerstitium": 0.6657,
    "glomerulus": 0.8289,
    "arteriole": 0.5209,
    "artery": 0.7782,
}
"""Class-wise accuracy as the paper prints it, on its own images: a reminder, no competitor."""


def paper_table(report: Mapping[str, Any]) -> list[str]:
    """The lines of the table for `report.json`; with the paper's own column where the classes are the paper's."""
    pooled = report["methods"]["hdgan"]["pooled"]
    names = [row["name"] for row in report["classes"]["classes"]]
    has_printed = tuple(names) == tuple(_PRINTED)
    width = max(len(name) for name in [*names, "pixel accuracy (micro Dice)"])
    head = f"{'class':{width}}  {'accuracy, %':>11}  {'Dice, %':>8}"
    lines = [head + (f"  {'accuracy in the paper, %':>24}" if has_printed else "")]
    for index, name in enumerate(names):
        recall, dice = (percent(pooled["per_class"][key][index]) for key in ("recall", "dice"))
        lines.append(f"{name:{width}}  {recall:>11}  {dice:>8}" + (f"  {percent(_PRINTED[name]):>24}" if has_printed else ""))
    macro = pooled["macro"]
    lines.append(f"{'mean of the classes':{width}}  {percent(macro['recall']):>11}  {percent(macro['dice']):>8}")
    lines.append(
        f"{'pixel accuracy (micro Dice)':{width}}  {percent(pooled['pixel_accuracy']):>11}  {percent(pooled['pixel_accuracy']):>8}"
    )
    return lines
