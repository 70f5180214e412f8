from __future__ import annotations

import math

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from hdgan.plots import figures
from hdgan.plots.figures import Chart, Line, charts

LINE = Line("macro Dice", [0.2, math.nan, 0.8], [0.1, 0.0, math.nan])


def test_panels_are_one_picture_that_is_the_same_each_time():
    panels = [
        Chart("blocks", "last blocks", ["1", "2", "3"], [LINE, Line("boundary IoU", [0.1, 0.2, 0.3], [0, 0, 0])]),
        Chart("snapshots", "quality", ["a", "b", "c"], [LINE], at=[5.0, 7.5, 20.0]),
        Chart("controls", "method", ["hdgan", "filters", "a method of a long name"], [LINE], is_ordered=False),
    ]
    found = charts(panels)
    assert found.dtype == np.uint8
    assert found.ndim == 3
    assert found.shape[2] == 3
    assert len(np.unique(found)) > 20
    assert np.array_equal(charts(panels), found)
    assert charts(panels[:1]).shape[0] < found.shape[0]


def test_what_is_drawn_depends_on_the_values():
    one, other = (charts([Chart("t", "x", ["1", "2"], [Line("l", [0.1, y], [0, 0])])]) for y in (0.2, 0.9))
    assert not np.array_equal(one, other)


def test_heights_by_their_logarithm_set_small_ones_apart():
    panel = {"title": "t", "across": "x", "places": ["1", "2"], "lines": [Line("l", [400.0, 4.0], [0, 0])]}
    plain, by_log = (charts([Chart(**panel, is_log=is_log)]) for is_log in (False, True))
    assert plain.shape == by_log.shape
    assert not np.array_equal(plain, by_log)


def test_a_quantity_that_is_known_nowhere_is_not_listed():
    known, unknown = Line("test", [0.1, 0.2], [0, 0]), Line("validation", [math.nan, math.nan], [0, 0])
    panels = [[Chart("t", "x", ["1", "2"], lines)] for lines in ([known], [known, unknown])]
    assert np.array_equal(*map(charts, panels))
    charts([Chart("t", "x", ["1", "2"], [unknown])])


def test_the_legend_lies_beside_the_lines_and_on_none_of_them():
    figure = Figure(figsize=figures._PANEL_INCHES, layout="constrained")
    canvas, axes = FigureCanvasAgg(figure), figure.subplots()
    lines = [Line(f"a quantity, {height}", [height, height], [0.0, 0.0]) for height in (0.05, 0.35, 0.65, 0.95)]
    figures._draw(axes, Chart("t", "x", ["1", "2"], lines))
    canvas.draw()
    legend = axes.get_legend().get_window_extent()
    assert axes.get_window_extent().x1 <= legend.x0 < legend.x1 <= figure.bbox.x1


def test_no_panel_is_refused():
    with pytest.raises(ValueError, match="no panel"):
        charts([])
