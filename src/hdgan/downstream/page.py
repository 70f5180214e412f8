"""The comparison as a page to read: `report.html`, made from `report.json` alone and the panels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hdgan.labels import ClassMap
from hdgan.plots.page import Page


def report_page(report: Mapping[str, Any], panels: np.ndarray | None, *, classes: ClassMap) -> str:
    """The HTML of a comparison; `panels` is the picture uint8 `[H, W, 3]` of `panel_sheet`."""
    tested = report["tested_on"]
    lead = (
        f"The same network, trained on different images, tested on {tested['tiles']} real tiles of {tested['tile_px']} px at {tested['mpp']:g} um/px "
        f"({tested['origin']}{'; training and test are of the same patient' if tested['is_same_patient'] else ''})."
    )
    page = Page("Downstream: does the dataset teach a network?", lead)
    page.facts([(_number(arm["scores"]["macro_dice"]), f"macro Dice, {arm['trained_on']}") for arm in report["arms"]])
    page.heading("Dice by class")
    seen = [index for index, row in enumerate(report["arms"][0]["scores"]["classes"]) if row["images_with_class"]]
    scores = [arm["scores"] for arm in report["arms"]]
    rows = [[classes.names[index], *(_class_dice(each["classes"][index]) for each in scores)] for index in seen]
    rows.append(["mean of the classes", *(_with_interval(each["macro_dice"], each["macro_dice_interval"]) for each in scores)])
    rows.append(["share of pixels that are right", *(_number(each["pixel_accuracy"]) for each in scores)])
    page.table(["trained on", *(arm["arm"] for arm in report["arms"])], rows)
    page.note("In brackets 95 % intervals over tiles. Scores are pooled over all pixels of all test tiles.")
    if report["differences"]:
        page.heading("Differences")
        head = ["macro Dice of", "less that of", "difference", "95 % interval", "settled by these tiles"]
        page.table(head, [_difference(row) for row in report["differences"]])
    page.heading("What must be read with the numbers")
    for line in report["remarks"]:
        page.note(line)
    if panels is not None:
        page.heading("Test tiles")
        page.legend(classes)
        names = ", ".join(arm["arm"] for arm in report["arms"])
        page.picture(panels, f"Image, truth, then the masks of the networks trained on: {names}. The seed chose the tiles, not the result.")
    return page.html()


def _class_dice(row: Mapping[str, Any]) -> str:
    return _with_interval(row["dice"], row["dice_interval"])


def _difference(row: Mapping[str, Any]) -> list[str]:
    interval = row["interval"]
    between = "-" if interval is None else f"{interval[0]:+.3f} to {interval[1]:+.3f}"
    return [row["of"], row["less"], f"{row['macro_dice']:+.3f}", between, "yes" if row["is_settled"] else "no"]


def _with_interval(value: float | None, interval: list[float] | None) -> str:
    return _number(value) if interval is None else f"{_number(value)} ({interval[0]:.3f} to {interval[1]:.3f})"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
