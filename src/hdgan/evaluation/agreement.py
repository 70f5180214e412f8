"""How far two people agree who annotated the same images: the ceiling of what any classifier of one of them can reach with the other.

Only pixels that both labelled are compared. Dice, IoU, contours and kappa (Cohen 1960) do not depend on who comes first; the confusion matrix has the
first annotator's classes as rows. Format: docs/formats/agreement.md.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdgan.annotations.reader import AnnotationSet
from hdgan.evaluation.compare import between, method_report, percent, worst_first
from hdgan.evaluation.counts import Counts, count
from hdgan.labels import IGNORE, ClassMap
from hdgan.measures.scores import kappa, score
from hdgan.plots.page import Page
from hdgan.plots.panels import Panel, panel_sheet, thinned

SCHEMA = 1
NUM_PANELS = 12
"""Images that the page shows: those that are agreed on least."""
_RESAMPLES = 1000


@dataclass(frozen=True)
class Pair:
    """Two masks of one image where both are labelled, 255 elsewhere. Implements `Truth` for its own name: the first is the truth."""

    name: str
    classes: ClassMap
    first: NDArray[np.uint8]
    second: NDArray[np.uint8]
    blended: NDArray[np.bool_]

    def mask(self, name: str) -> NDArray[np.uint8]:
        """The first annotator's."""
        assert name == self.name, "a pair is of one image"
        return self.first

    def blend(self, name: str) -> NDArray[np.bool_]:
        """Where the first annotator marked a blend."""
        assert name == self.name, "a pair is of one image"
        return self.blended


@dataclass
class Agreement:
    """Both annotators' masks of some images, as far as they have been compared."""

    names: list[str] = field(default_factory=list)
    counts: list[Counts] = field(default_factory=list)
    labelled: dict[str, int] = field(default_factory=lambda: {"both": 0, "first_only": 0, "second_only": 0})
    """Pixels by who labelled them."""
    _shown: list[tuple[float, str, Panel]] = field(default_factory=list)

    @property
    def panels(self) -> list[Panel]:
        """Pictures of the images that are agreed on least, the least first: image, first mask, second mask, where they differ."""
        return [panel for _, _, panel in sorted(self._shown, key=lambda row: row[:2])]

    def note(self, annotated: AnnotationSet, name: str, second: NDArray[np.uint8], image: NDArray[np.uint8], *, distance_px: float) -> None:
        """Adds the image called `name` of which `annotated` has the first mask; `second` is uint8 `[H, W]`, `image` uint8 `[H, W, 3]`."""
        first = annotated.mask(name)
        has_first, has_second = first != IGNORE, second != IGNORE
        self.names.append(name)
        for key, where in (
            ("both", has_first & has_second),
            ("first_only", has_first & ~has_second),
            ("second_only", has_second & ~has_first),
        ):
            self.labelled[key] += int(np.count_nonzero(where))
        both = has_first & has_second
        pair = Pair(name, annotated.classes, _within(first, both), _within(second, both), annotated.blend(name))
        # What is ignored in the truth counts nowhere, so that the other mask may have any label there.
        counts = count(lambda _: np.where(both, second, np.uint8(0)), pair, [name], distance_px=distance_px)
        self.counts.append(counts)
        dice = score(counts.matrices[0]).macro_dice
        row = (2.0 if np.isnan(dice) else dice, name, thinned(Panel(image, pair.first, pair.second, name=name)))
        self._shown = heapq.nsmallest(NUM_PANELS, [*self._shown, row], key=lambda shown: shown[:2])


def agreement_report(
    found: Agreement, annotated: AnnotationSet, *, annotators: tuple[str, str], also: Iterable[str], distance_px: float, seed: int
) -> dict[str, Any]:
    """Every number as plain data. `annotators` are called first and second; `also` names the images that the second alone annotated."""
    counts = Counts.joined(found.counts)
    measured: dict[str, Any] = {"distance_px": distance_px, "mpp": annotated.mpp, "resamples": _RESAMPLES, "seed": seed}
    report = method_report(counts, annotated.classes, **measured)
    return {
        "schema": SCHEMA,
        "annotators": list(annotators),
        "classes": annotated.classes.to_json(),
        "images": list(found.names),
        "by_one_only": {"first": sorted(set(annotated.names) - set(found.names)), "second": sorted(also)},
        "labelled": dict(found.labelled),
        "kappa": _number(kappa(counts.matrices.sum(axis=0))),
        "agreement": report,
    }


def build_agreement_page(report: Mapping[str, Any], classes: ClassMap, panels: Sequence[Panel]) -> str:
    """The page's HTML; `panels` as of `Agreement`."""
    first, second = report["annotators"]
    found = report["agreement"]
    pooled = found["pooled"]
    about = f"{len(report['images'])} images annotated by both. First: {first}. Second: {second}."
    page = Page("How far two annotators agree", about)
    page.facts(
        [
            (percent(pooled["macro"]["dice"]) + " %", "macro Dice, 95 % interval " + between(found["intervals"]["macro_dice"])),
            (percent(pooled["pixel_accuracy"]) + " %", "pixels with the same label"),
            ("–" if report["kappa"] is None else f"{report['kappa']:.2f}", "kappa: 1 agreed on all, 0 no better than chance"),  # noqa: RUF001
            (percent(found["boundary"]["macro_iou"]) + " %", "boundary IoU, macro"),
        ]
    )
    labelled = report["labelled"]
    page.note(
        f"Compared are the {labelled['both']:,} pixels that both labelled; {labelled['first_only']:,} have a label of the first only, "
        f"{labelled['second_only']:,} of the second only. A classifier that learns from one of them can hardly agree better with the other."
    )
    page.heading("Image, first, second, where they differ: the least agreed on top")
    page.legend(classes)
    page.key([("rgb(224, 40, 40)", "different"), ("rgb(0, 0, 0)", "not labelled by both: does not count")])
    sheet = panel_sheet(panels, classes, titles=("first", "second", "different"))
    page.picture(sheet, f"The {len(panels)} images with the lowest macro Dice between both.")
    _tell_classes(page, found, classes)
    page.heading("What each class of the first is called by the second, %")
    rows = []
    for name, row in zip(classes.names, found["confusion"], strict=True):
        total = sum(row)
        rows.append((name, [(pixels / total if total else None, f"{pixels:,} px") for pixels in row]))
    page.matrix(["first / second", *classes.names], rows)
    for row in found["confusions"][:5]:
        share = f"{percent(row['share'])} % of its {row['truth']}, {row['pixels']:,} px"
        page.note(f"What the first calls {row['truth']} the second calls {row['taken_for']}: {share}.")
    _tell_images(page, found)
    return page.html()


def _tell_classes(page: Page, found: Mapping[str, Any], classes: ClassMap) -> None:
    page.heading("Each class")
    per_class, boundary = found["pooled"]["per_class"], found["boundary"]
    matrix = np.array(found["confusion"])
    rows = []
    for i, name in enumerate(classes.names):
        distance = boundary["hd95_px"][i]
        rows.append(
            [
                name,
                percent(per_class["dice"][i]),
                between(found["intervals"]["dice"][i]),
                percent(per_class["iou"][i]),
                percent(boundary["iou"][i]),
                "–" if distance is None else f"{distance:.1f} px",  # noqa: RUF001 - a dash
                f"{matrix[i].sum():,}",
                f"{matrix[:, i].sum():,}",
            ]
        )
    head = ["class", "Dice, %", "95 % interval", "IoU, %", "boundary IoU, %", "HD95, median", "pixels of the first", "of the second"]
    page.table(head, rows)


def _tell_images(page: Page, found: Mapping[str, Any]) -> None:
    page.heading("Each image, %, the least agreed on first")
    rows = []
    for name in worst_first(found):
        row = found["per_image"][name]
        rows.append([name, *(percent(value) for value in (row["macro"]["dice"], row["pixel_accuracy"], row["macro_boundary_iou"]))])
    page.table(["image", "macro Dice", "same label", "boundary IoU"], rows)


def _within(mask: NDArray[np.uint8], where: NDArray[np.bool_]) -> NDArray[np.uint8]:
    return np.where(where, mask, np.uint8(IGNORE))


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
