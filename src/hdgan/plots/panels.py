"""Rows of image, prediction, truth, errors and uncertainty, after Figure 2 of arXiv 2207.02712."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdgan.labels import IGNORE, ClassMap
from hdgan.plots.colours import coloured
from hdgan.plots.sheets import contact_sheet, named_sheet

_SMALLEST_EDGE, _LARGEST_EDGE = 160, 512
_WRONG = (224, 40, 40)


@dataclass(frozen=True)
class Panel:
    """One row: image uint8 `[H, W, 3]`, masks uint8 `[H, W]`, uncertainty float32 `[H, W]`."""

    image: NDArray[np.uint8]
    prediction: NDArray[np.uint8]
    truth: NDArray[np.uint8]
    uncertainty: NDArray[np.float32] | None = None
    name: str = ""
    """Of the image, written over its row."""


TITLES = ("prediction", "annotation", "errors", "uncertainty")
"""Over the first row, beside the name of the image, where rows have names."""


def panel_sheet(panels: Sequence[Panel], classes: ClassMap, *, titles: Sequence[str] = TITLES) -> NDArray[np.uint8]:
    """All rows as one picture: image, prediction, truth, errors, and uncertainty (bright: unsure) where there is any.

    Cells are enlarged, or thinned, by whole factors to an edge of about 160 to 512 px. Where panels have names these stand over the rows, and
    `titles` over the columns behind the first.
    """
    cells: list[NDArray[np.uint8]] = []
    highest = max((float(p.uncertainty.max()) for p in panels if p.uncertainty is not None), default=0.0)
    for panel in panels:
        row = [panel.image, coloured(panel.prediction, classes), coloured(panel.truth, classes), errors(panel)]
        if panel.uncertainty is not None:
            row.append(heat(panel.uncertainty, highest=highest))
        cells.extend(fitted(cell) for cell in row)
    columns = len(cells) // len(panels)
    if not any(panel.name for panel in panels):
        return contact_sheet(cells, columns=columns)
    over = [[panel.name, *(titles[: columns - 1] if number == 0 else [""] * (columns - 1))] for number, panel in enumerate(panels)]
    return named_sheet(cells, [text for row in over for text in row], columns=columns)


def errors(panel: Panel) -> NDArray[np.uint8]:
    """The image in pale grey, wrong pixels red, ignored ones black, uint8 `[H, W, 3]`."""
    grey = panel.image.mean(axis=2, keepdims=True, dtype=np.float32) * 0.35 + 160
    picture = np.repeat(grey.astype(np.uint8), 3, axis=2)
    picture[panel.prediction != panel.truth] = _WRONG
    picture[panel.truth == IGNORE] = 0
    return picture


def fitted(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """`enlarged`, or every k-th pixel of a large picture: a page of 4096 px panels would be gigabytes."""
    return enlarged(pixels) if _step(pixels) <= 1 else _thinned(pixels)


def thinned(panel: Panel) -> Panel:
    """What `panel_sheet` shows of a panel: every k-th pixel of large ones, copied, so that the whole need not be kept for it."""
    uncertainty = None if panel.uncertainty is None else _thinned(panel.uncertainty)
    return Panel(_thinned(panel.image), _thinned(panel.prediction), _thinned(panel.truth), uncertainty, panel.name)


def _step(pixels: NDArray[Any]) -> int:
    return -(-len(pixels) // _LARGEST_EDGE)


def _thinned(pixels: NDArray[Any]) -> NDArray[Any]:
    step = _step(pixels)
    return pixels[::step, ::step].copy()


def heat(values: NDArray[np.float32], *, highest: float) -> NDArray[np.uint8]:
    """Values 0 to `highest` as colours from black over violet to yellow."""
    share = np.clip(values / highest if highest > 0 else np.zeros_like(values), 0, 1)
    stops = np.array([[0, 0, 0], [90, 20, 120], [220, 90, 60], [255, 240, 150]], dtype=np.float64)
    place = np.linspace(0, 1, len(stops))
    colours = np.stack([np.interp(share, place, stops[:, channel]) for channel in range(3)], axis=-1)
    return colours.round().astype(np.uint8)


def enlarged(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Small pictures by a whole factor, so that a page shows their pixels."""
    factor = max(1, _SMALLEST_EDGE // pixels.shape[0])
    return pixels.repeat(factor, axis=0).repeat(factor, axis=1)
