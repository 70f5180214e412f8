"""The evaluation as a page: Table 1 of the paper, the controls beside it, panels as in its Figure 2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hdgan.evaluation.compare import class_rows, percent
from hdgan.evaluation.controls import TITLES
from hdgan.labels import ClassMap
from hdgan.plots.page import Page
from hdgan.plots.panels import Panel, panel_sheet


def build_page(report: Mapping[str, Any], classes: ClassMap, panels: Sequence[Panel]) -> str:
    """The page's HTML."""
    ours = report["methods"]["hdgan"]
    pooled = ours["pooled"]
    about = f"{len(report['images'])} held-out generated images, annotated by: {report['annotator']}."
    page = Page("How well the pixel labels fit", f"{about} {report['remark']}".strip())
    page.facts(
        [
            (percent(pooled["macro"]["dice"]) + " %", "macro Dice" + _interval(ours, "macro_dice")),
            (percent(pooled["macro"]["recall"]) + " %", "mean class-wise accuracy" + _interval(ours, "macro_recall")),
            (percent(pooled["pixel_accuracy"]) + " %", "pixel accuracy (micro Dice)" + _interval(ours, "pixel_accuracy")),
            (str(len(report["images"])), "test images"),
        ]
    )
    page.heading("Image, prediction, annotation, uncertainty")
    page.legend(classes)
    page.picture(panel_sheet(panels, classes), f"Held-out images; masks by {report['annotator']}. Bright: the ensemble disagrees.")
    page.heading("Each class, %")
    page.table(["class", "class-wise accuracy", "precision", "IoU", "Dice", "share of pixels"], class_rows(ours, classes))
    page.note(f"Pooled over all test images. {about} {report['remark']}".strip())
    page.heading("The same annotated images, other methods, %")
    rows = [_method_row(name, method, has_colour=report["has_colour"]) for name, method in report["methods"].items()]
    page.table(["method", "macro Dice", "95 % interval", "mean class-wise accuracy", "pixel accuracy"], rows, own=[0])
    _tell_certainty(page, report["certainty"])
    page.heading("What the words mean")
    for word, meaning in report["definitions"].items():
        page.note(f"{word.replace('_', ' ')}: {meaning}.")
    return page.html()


def _method_row(name: str, method: Mapping[str, Any], *, has_colour: bool) -> list[str]:
    pooled, interval = method["pooled"], method["intervals"]["macro_dice"]
    ends = "–" if interval is None else f"{percent(interval[0])} to {percent(interval[1])}"  # noqa: RUF001 - a dash
    return [
        TITLES.get(name, name) + (", colour" if has_colour and name in ("hdgan", "untrained") else ""),
        percent(pooled["macro"]["dice"]),
        ends,
        percent(pooled["macro"]["recall"]),
        percent(pooled["pixel_accuracy"]),
    ]


def _interval(method: Mapping[str, Any], name: str) -> str:
    ends = method["intervals"][name]
    return "" if ends is None else f", {percent(ends[0])} to {percent(ends[1])}"


def _tell_certainty(page: Page, certainty: Mapping[str, Any]) -> None:
    page.heading("Does the ensemble know where it is wrong?")
    if certainty["auroc"] is None:
        page.note("Every pixel was right, so there is nothing to find.")
        return
    page.note(
        f"A wrong pixel is less certain than a right one with chance {certainty['auroc']:.2f} (0.5: no use, 1: always). "
        f"Accuracy of all pixels {percent(certainty['accuracy_of_all'])} %, of the 90 % most certain "
        f"{percent(certainty['accuracy_of_most_certain_90_percent'])} %."
    )
