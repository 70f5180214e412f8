"""Charts of an ablation as one picture, by matplotlib: a panel for each question, a line for each quantity, its spread as a band."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_COLOURS = ("#7a3b8f", "#d0782a", "#2a7f8f", "#5a8f2a")
_MARKERS = ("o", "s", "^", "D")
"""Told apart without their colours, too."""
_PANEL_INCHES = (6.2, 3.2)
_DPI = 110


@dataclass(frozen=True)
class Line:
    """A quantity over the places of a panel: `middle` and `spread` (half the height of the band), nan where unknown."""

    name: str
    middle: Sequence[float]
    spread: Sequence[float]


@dataclass(frozen=True)
class Chart:
    """One panel. `places` are the values that were tried; with `is_ordered` they are joined, else each stands alone."""

    title: str
    across: str
    places: Sequence[str]
    lines: Sequence[Line]
    is_ordered: bool = True
    at: Sequence[float] | None = None
    """Where the places lie, where their distances mean something; else they are evenly spaced."""
    is_log: bool = False
    """Heights by their logarithm: what halves again and again is seen to the end."""


def charts(panels: Sequence[Chart], *, columns: int = 2) -> NDArray[np.uint8]:
    """The panels as one picture uint8 `[H, W, 3]`; equal panels give equal pixels.

    Raises:
        ValueError: there is no panel.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # half a second that most commands need not wait for
    from matplotlib.figure import Figure

    if not panels:
        raise ValueError("no panel to draw")
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(_PANEL_INCHES[0] * columns, _PANEL_INCHES[1] * rows), dpi=_DPI, layout="constrained")
    canvas: Any = FigureCanvasAgg(figure)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, panel in zip(grid, panels, strict=False):
        _draw(axes, panel)
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    canvas.draw()
    pixels: NDArray[np.uint8] = np.array(canvas.buffer_rgba())[..., :3]
    return pixels


def _draw(axes: object, panel: Chart) -> None:
    from matplotlib.axes import Axes

    assert isinstance(axes, Axes)
    at = np.arange(len(panel.places), dtype=float) if panel.at is None else np.asarray(panel.at, dtype=float)
    for number, line in enumerate(panel.lines):
        colour = _COLOURS[number % len(_COLOURS)]
        middle, spread = (np.asarray(values, dtype=float) for values in (line.middle, line.spread))
        if not np.isfinite(middle).any():  # such as validation scores where no image is held out for that
            continue
        shift = 0.0 if panel.is_ordered else 0.12 * (number - (len(panel.lines) - 1) / 2)
        axes.errorbar(
            at + shift,
            middle,
            yerr=np.where(np.isfinite(spread), spread, 0.0),
            marker=_MARKERS[number % len(_MARKERS)],
            markersize=4,
            linestyle="-" if panel.is_ordered else "none",
            linewidth=1.3,
            capsize=2.5,
            color=colour,
            label=line.name,
        )
    highest = max((value for line in panel.lines for value in line.middle if math.isfinite(value)), default=1.0)
    if panel.is_log:
        axes.set_yscale("log")
    else:
        axes.set_ylim(0, max(1.0, highest * 1.05))
    axes.set_title(panel.title, fontsize=10, loc="left")
    axes.set_xlabel(panel.across, fontsize=9)
    if panel.at is None:
        axes.set_xticks(at, panel.places, fontsize=8, rotation=0 if max(map(len, panel.places), default=0) < 10 else 20)
        axes.set_xlim(-0.5, len(panel.places) - 0.5)
    axes.tick_params(labelsize=8)
    axes.grid(axis="y", linewidth=0.4, alpha=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        # Beside the lines: of four of them none leaves room for it.
        axes.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
