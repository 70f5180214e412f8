"""`latent.html`: where meaning sits, as tables and pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdgan.evaluation.compare import percent
from hdgan.evaluation.latent import NEAR_PX, Seen
from hdgan.labels import ClassMap
from hdgan.plots.colours import coloured
from hdgan.plots.lines import line_chart
from hdgan.plots.page import Page
from hdgan.plots.panels import fitted, heat
from hdgan.plots.sheets import named_sheet


def build_latent_page(report: Mapping[str, Any], classes: ClassMap, sheet: NDArray[np.uint8]) -> str:
    """The page's HTML; `sheet` as made by `seen_sheet`."""
    page = Page(
        "Where meaning sits in the generator",
        f"Linear probes fitted on {len(report['train'])} training images, looked at on {len(report['images'])} validation images, "
        f"annotated by: {report['annotator']}. {report['remark']}".strip(),
    )
    whole = next(row for row in report["layers"] if row["kind"] == "all")
    best = max((row for row in report["layers"] if row["kind"] == "layer"), key=lambda row: row["macro_dice"] or 0.0)
    near, beyond = report["contours"][0], report["contours"][-1]
    page.facts(
        [
            (percent(whole["macro_dice"]) + " %", "macro Dice of a linear probe on all layers"),
            (percent(best["macro_dice"]) + " %", f"macro Dice of the best single layer, {best['name']}"),
            (percent(near["errors"]) + " %", "of the pixels beside a contour are wrong"),
            (percent(beyond["errors"]) + " %", f"of those farther than {beyond['from_px']:g} px"),
        ]
    )
    _tell_layers(page, report["layers"], classes, report["pixels"])
    _tell_contours(page, report)
    _tell_blocks(page, report["blocks"])
    page.heading("Pictures")
    page.legend(classes)
    blocks = ", ".join(row["name"] for row in report["blocks"])
    page.picture(
        sheet, f"Image, annotation, ensemble, margin (bright: the first two classes are close), then each block's probe: {blocks}."
    )
    return page.html()


def seen_sheet(seen: Sequence[Seen], images: Sequence[NDArray[np.uint8]], classes: ClassMap) -> NDArray[np.uint8]:
    """A row for each image under its name: image, truth, ensemble, margin, each block's probe; titles over the first row."""
    cells, over = [], list[str]()
    for one, image in zip(seen, images, strict=True):
        row = [image, coloured(one.truth, classes), coloured(one.mask, classes), heat(1 - one.margin, highest=1.0)]
        cells += [fitted(cell) for cell in [*row, *(coloured(mask, classes) for mask in one.blocks.values())]]
        titles = ["annotation", "ensemble", "margin", *one.blocks]
        over += [one.name, *(titles if not over else [""] * len(titles))]
    return named_sheet(cells, over, columns=len(cells) // len(seen))


def _tell_layers(page: Page, rows: Sequence[Mapping[str, Any]], classes: ClassMap, pixels: Sequence[int]) -> None:
    page.heading("How well classes are told apart by each layer alone: Dice of a linear probe, %")
    cells, layers = [], {row["name"] for row in rows if row["kind"] == "layer"}
    for row in rows:
        if row["kind"] == "block" and row["name"] in layers:  # a layer that is a block of its own stands above
            continue
        name = {"layer": row["name"], "block": f"block {row['name']}", "all": "all layers"}[row["kind"]]
        about = f"{row['channels']} channels, {row['resolution']} px"
        shares = [(row["macro_dice"], "macro"), *((value, name) for value, name in zip(row["dice"], classes.names, strict=True))]
        cells.append((f"{name} ({about})", [(share, "") for share, _ in shares]))
    page.matrix(["maps", "macro", *classes.names], cells)
    told = ", ".join(f"{name} {num:,} px ({percent(num / max(sum(pixels), 1))} %)" for name, num in zip(classes.names, pixels, strict=True))
    page.note(f"These images show {told}. The Dice of a class with few pixels, or none, says little: a few wrong ones take it to 0.")


def _tell_contours(page: Page, report: Mapping[str, Any]) -> None:
    page.heading("Along contours")
    rows = []
    for row in report["contours"]:
        ends = f"{row['from_px']:g} to {row['to_px']:g} px" if row["to_px"] is not None else f"beyond {row['from_px']:g} px"
        margin = "–" if row["margin"] is None else f"{row['margin']:.2f}"  # noqa: RUF001 - a dash
        rows.append([ends, percent(row["share"]), margin, percent(row["errors"]), *(percent(value) for value in row["disagree"].values())])
    names = [row["name"] for row in report["blocks"]]
    page.table(["distance to the true contour", "share of pixels", "margin", "wrong", *names], rows)
    page.note(f"In %, margin from 0 to 1. Under {', '.join(names)}: how often that block's probe disagrees with the ensemble.")
    held = [(index, row) for index, row in enumerate(report["contours"]) if row["errors"] is not None]
    if not held:
        return
    outermost = (rows[held[0][0]][0], rows[held[-1][0]][0])
    page.charts(
        [
            line_chart(
                [[(i, row["errors"]) for i, row in held]], title="share of wrong pixels (up) by distance to the contour", ends=outermost
            ),
            line_chart([[(i, row["margin"]) for i, row in held]], title="mean margin (up) by distance to the contour", ends=outermost),
        ]
    )


def _tell_blocks(page: Page, rows: Sequence[Mapping[str, Any]]) -> None:
    page.heading("Which block knows what the ensemble does not, %")
    lines = [[row["name"], *(percent(row[key]) for key in ("near", "far", "near_where_wrong", "far_where_wrong"))] for row in rows]
    near = f"within {NEAR_PX:g} px of a contour"
    page.table(
        ["block", f"right {near}", "right elsewhere", f"right {near} where the ensemble is wrong", "right elsewhere where it is wrong"],
        lines,
    )
    page.note("A block that is often right where the ensemble is wrong holds what a better classifier could use.")
