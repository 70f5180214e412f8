"""The evaluation as a page: Table 1 of the paper, contours, the controls beside it, panels as in its Figure 2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hdgan.evaluation.cleanup import verdict
from hdgan.evaluation.compare import between, class_rows, percent, worst_first
from hdgan.evaluation.controls import TITLES
from hdgan.labels import IGNORE, ClassMap
from hdgan.plots.lines import line_chart
from hdgan.plots.page import Page
from hdgan.plots.panels import Panel, panel_sheet

_MAX_IMAGE_ROWS = 40
_PARTS = {"random": "drawn at random"}
"""What parts of the split are called where their own name does not tell."""


def build_page(report: Mapping[str, Any], classes: ClassMap, panels: Sequence[Panel], *, curves: Sequence[Mapping[str, Any]] = ()) -> str:
    """The page's HTML; `panels` in the order of `worst_first`, `curves` the rows of the classifier's `curves.jsonl`."""
    ours = report["methods"]["hdgan"]
    pooled = ours["pooled"]
    about = f"{len(report['images'])} held-out generated images, annotated by: {report['annotator']}."
    page = Page("How well the pixel labels fit", f"{about} {report['remark']}".strip())
    page.facts(
        [
            (percent(pooled["macro"]["dice"]) + " %", "macro Dice" + _interval(ours, "macro_dice")),
            (percent(pooled["macro"]["recall"]) + " %", "mean class-wise accuracy" + _interval(ours, "macro_recall")),
            (percent(pooled["pixel_accuracy"]) + " %", "pixel accuracy (micro Dice)" + _interval(ours, "pixel_accuracy")),
            (percent(ours["boundary"]["macro_iou"]) + " %", "boundary IoU, macro" + _interval(ours, "macro_boundary_iou")),
            (str(len(report["images"])), "test images"),
        ]
    )
    page.note(_about_cells(report["coarsest_cell"]))
    page.heading("Image, prediction, annotation, errors, uncertainty: the worst first")
    page.legend(classes)
    page.key(_marks(panels))
    page.picture(
        panel_sheet(panels, classes),
        f"Held-out images, lowest macro Dice on top; masks by {report['annotator']}. In the last column bright: the ensemble disagrees.",
    )
    _tell_classes(page, report, classes, about=about)
    _tell_confusions(page, ours, classes)
    _tell_contours(page, report, classes)
    _tell_methods(page, report)
    _tell_cleanup(page, report["cleanup"])
    _tell_certainty(page, report, heading="Does the ensemble know where it is wrong?")
    if "random" in report:
        _tell_certainty(page, report["random"], heading="Does it know so on images drawn at random?")
    _tell_folds(page, report["folds"])
    _tell_curves(page, curves)
    _tell_images(page, report, heading="Each image, %, the worst first")
    if "random" in report:
        _tell_images(page, report["random"], heading="Each image drawn at random, %, the worst first")
    page.heading("What the words mean")
    for word, meaning in report["definitions"].items():
        page.note(f"{word.replace('_', ' ')}: {meaning}.")
    return page.html()


def _marks(panels: Sequence[Panel]) -> list[tuple[str, str]]:
    """Colours on the panels that stand for no class."""
    is_partial = any(bool((panel.truth == IGNORE).any()) for panel in panels)
    return [("rgb(224, 40, 40)", "wrong"), *([("rgb(0, 0, 0)", "not annotated: does not count")] if is_partial else [])]


def _about_cells(cell: Mapping[str, float | None]) -> str:
    """How much tissue the classifier's coarsest map takes together."""
    scale = "" if cell["um"] is None else f", {cell['um']:.3g} um of tissue"
    return f"One cell of the coarsest feature map covers {cell['px']:g} px{scale}: what is smaller is told by the finer maps."


def _tell_classes(page: Page, report: Mapping[str, Any], classes: ClassMap, *, about: str) -> None:
    ours = report["methods"]["hdgan"]
    page.heading("Each class, %")
    head = ["class", "class-wise accuracy", "precision", "IoU", "Dice", "Dice, 95 % interval", "share of pixels", "pixels"]
    page.table(head, class_rows(ours, classes))
    page.note(f"Pooled over all test images. {about} {report['remark']}".strip())
    _tell_blends(page, ours)
    if "random" in report:
        page.heading("Each class on images drawn at random, %")
        page.table(head, class_rows(report["random"]["methods"]["hdgan"], classes))
        page.note(
            f"A second test set: {len(report['random']['images'])} images drawn at random from the samples that were not proposed for "
            "annotation. Those of the first table were proposed for their variety, so that rare sights weigh more there; these tell what to "
            "expect of the samples as they come."
        )


def _tell_blends(page: Page, ours: Mapping[str, Any]) -> None:
    clear = ours["without_blends"]
    if clear is None:
        page.note("No pixel of these images is marked as a blend.")
        return
    counted = clear["num_pixels"] + clear["num_blended"]
    page.note(
        f"Without the {clear['num_blended']:,} pixels ({percent(clear['num_blended'] / counted)} %) that the annotator marked as blends: "
        f"macro Dice {percent(clear['macro']['dice'])} %, mean class-wise accuracy {percent(clear['macro']['recall'])} %, "
        f"pixel accuracy {percent(clear['pixel_accuracy'])} %."
    )


def _tell_confusions(page: Page, ours: Mapping[str, Any], classes: ClassMap) -> None:
    page.heading("What is taken for what, % of the true class")
    rows = []
    for name, row in zip(classes.names, ours["confusion"], strict=True):
        total = sum(row)
        rows.append((name, [(count / total if total else None, f"{count:,} px") for count in row]))
    page.matrix(["truth / taken for", *classes.names], rows)
    for row in ours["confusions"][:5]:
        page.note(confusion_line(row))


def confusion_line(row: Mapping[str, Any]) -> str:
    """Such as: arteriole taken for glomerulus: 3.1 % of arteriole (2,140 px)."""
    return f"{row['truth']} taken for {row['taken_for']}: {percent(row['share'])} % of {row['truth']} ({row['pixels']:,} px)"


def _tell_contours(page: Page, report: Mapping[str, Any], classes: ClassMap) -> None:
    boundary = report["methods"]["hdgan"]["boundary"]
    page.heading("Contours")
    rows = []
    for index, name in enumerate(classes.names):
        found = boundary["hd95_px"][index]
        distance = "–" if found is None else f"{found:.1f} px"  # noqa: RUF001 - a dash
        if found is not None and "hd95_um" in boundary:
            distance += f" ({boundary['hd95_um'][index]:.1f} um)"
        num, lost = boundary["images_with_contour"][index], boundary["images_with_one_contour"][index]
        rows.append([name, percent(boundary["iou"][index]), distance, str(num), str(lost)])
    page.table(["class", "boundary IoU, %", "HD95, median", "images with a contour", "in one mask only"], rows)
    page.note(
        f"The band of boundary IoU is {boundary['distance_px']:.3g} px wide. A dash under HD95: most of these images have the class in one mask only."
    )


def _tell_methods(page: Page, report: Mapping[str, Any]) -> None:
    page.heading("The same annotated images, other methods, %")
    rows = [_method_row(name, method, has_colour=report["has_colour"]) for name, method in report["methods"].items()]
    head = ["method", "macro Dice", "95 % interval", "mean class-wise accuracy", "pixel accuracy", "boundary IoU"]
    page.table(head, rows, own=[0])
    if "random" not in report:
        return
    page.heading("The same methods on images drawn at random, %")
    page.table(
        head, [_method_row(name, method, has_colour=report["has_colour"]) for name, method in report["random"]["methods"].items()], own=[0]
    )
    page.note(f"All fitted as above, on the {len(report['random']['images'])} images drawn at random as a second test set.")


def _method_row(name: str, method: Mapping[str, Any], *, has_colour: bool) -> list[str]:
    pooled = method["pooled"]
    return [
        TITLES.get(name, name) + (", colour" if has_colour and name in ("hdgan", "untrained") else ""),
        percent(pooled["macro"]["dice"]),
        between(method["intervals"]["macro_dice"]),
        percent(pooled["macro"]["recall"]),
        percent(pooled["pixel_accuracy"]),
        percent(method["boundary"]["macro_iou"]),
    ]


def _tell_cleanup(page: Page, cleanup: Mapping[str, Any]) -> None:
    page.heading("Contour clean-up, before and after, %")
    rows = []
    for part, found in cleanup["parts"].items():
        for when in ("before", "after"):
            row = found[when]
            distance = "–" if row["macro_hd95_px"] is None else f"{row['macro_hd95_px']:.2f}"  # noqa: RUF001 - a dash
            rows.append(
                [
                    f"{_PARTS.get(part, part)}, {when}",
                    *(percent(row[key]) for key in ("macro_boundary_iou", "macro_dice", "pixel_accuracy")),
                    distance,
                ]
            )
    page.table(["images", "boundary IoU", "macro Dice", "pixel accuracy", "HD95, px"], rows)
    settings = ", ".join(f"{name} {value}" for name, value in cleanup["settings"].items() if value)
    if any(found[when]["macro_hd95_px"] is None for found in cleanup["parts"].values() for when in ("before", "after")):
        page.note("A dash under HD95: a class is in one mask only in most of its images, which is infinitely far.")
    page.note(f"{verdict(cleanup)} Every other number on this page is without it. Settings: {settings}.")


def _tell_certainty(page: Page, test_set: Mapping[str, Any], *, heading: str) -> None:
    certainty, reliability = test_set["certainty"], test_set["reliability"]
    page.heading(heading)
    bins = list(zip(reliability["confidence"], reliability["accuracy"], reliability["counts"], strict=True))
    diagonal, found = [(0.0, 0.0), (1.0, 1.0)], [(sure, right) for sure, right, _ in bins if sure is not None]
    counts = [
        (0.5 * (low + high), float(count))
        for low, high, (_, _, count) in zip(reliability["edges"][:-1], reliability["edges"][1:], bins, strict=True)
    ]
    page.charts(
        [
            line_chart([diagonal, found], title="share that is right (up) of pixels by their probability"),
            line_chart([counts], title="pixels (up) by the probability of their class"),
        ]
    )
    page.note(
        f"Calibration error (ECE) {percent(reliability['ece'])} %; probabilities are {_direction(reliability['overconfidence'])}. The straight line is "
        "where a probability of 0.8 is right for 80 % of its pixels; below it the ensemble is too sure."
    )
    if certainty["auroc"] is None:
        page.note("Every pixel was right, so there is nothing to find.")
        return
    page.note(
        f"A wrong pixel is less certain than a right one with chance {certainty['auroc']:.2f} (0.5: no use, 1: always). "
        f"Accuracy of all pixels {percent(certainty['accuracy_of_all'])} %, of the 90 % most certain "
        f"{percent(certainty['accuracy_of_most_certain_90_percent'])} %."
    )


def _direction(overconfidence: float) -> str:
    """Such as "too high by 3.1 % on average"."""
    return f"too {'high' if overconfidence > 0 else 'low'} by {percent(abs(overconfidence))} % on average"


def _tell_folds(page: Page, folds: Mapping[str, Any] | None) -> None:
    if folds is None:
        return
    page.heading(f"Cross-validation over all annotated images, {folds['num']} parts, %")
    rows = []
    for number, part in enumerate(folds["parts"], start=1):
        missing = "; ".join(f"{where}: {', '.join(names)}" for where, names in part["missing"].items() if names)
        numbers = [percent(part[key]) for key in ("macro_dice", "pixel_accuracy", "macro_boundary_iou")]
        rows.append([f"part {number}, {len(part['test'])} images", *numbers, missing or "none"])
    spread = [
        f"{percent(folds['mean'][key])} ± {percent(folds['spread'][key])}" for key in ("macro_dice", "pixel_accuracy", "macro_boundary_iou")
    ]
    pooled = folds["pooled"]
    rows.append(["mean and spread over parts", *spread, ""])
    rows.append(["pooled", percent(pooled["macro"]["dice"]), percent(pooled["pixel_accuracy"]), percent(folds["macro_boundary_iou"]), ""])
    page.table(["tested", "macro Dice", "pixel accuracy", "boundary IoU", "classes missing in"], rows, own=[len(rows) - 1])


def _tell_curves(page: Page, curves: Sequence[Mapping[str, Any]]) -> None:
    members = sorted({int(row["member"]) for row in curves})
    across = "epoch" if all("epoch" in row for row in curves) else "step"
    charts = []
    for key, title in (("loss", "loss on the drawn pixels"), ("macro_dice", "macro Dice on the validation images")):
        held = [row for row in curves if row.get(key) is not None and across in row]
        series = [[(float(row[across]), float(row[key])) for row in held if row["member"] == member] for member in members]
        if held:
            charts.append(line_chart(series, title=title))
    if charts:
        page.heading("How the classifiers learned")
        page.charts(charts)
        has_validation = any(row.get("macro_dice") is not None for row in curves)
        kept = "of its best one on the validation images" if has_validation else "it ends with, since no image is held out for validation"
        page.note(f"Across: {across}s; a line for each of {len(members)} classifiers, which keeps the weights {kept}.")


def _tell_images(page: Page, test_set: Mapping[str, Any], *, heading: str) -> None:
    ours = test_set["methods"]["hdgan"]
    names = worst_first(ours)
    page.heading(heading)
    rows = []
    for name in names[:_MAX_IMAGE_ROWS]:
        row = ours["per_image"][name]
        numbers = (row["macro"]["dice"], row["pixel_accuracy"], row["macro_boundary_iou"])
        rows.append([name, *(percent(value) for value in numbers), f"{test_set['image_uncertainty'][name]:.4f}"])
    page.table(["image", "macro Dice", "pixel accuracy", "boundary IoU", "uncertainty, nats"], rows)
    if len(names) > _MAX_IMAGE_ROWS:
        page.note(f"The other {len(names) - _MAX_IMAGE_ROWS} images are in report.json.")


def _interval(method: Mapping[str, Any], name: str) -> str:
    ends = method["intervals"][name]
    return "" if ends is None else f", {between(ends)}"
