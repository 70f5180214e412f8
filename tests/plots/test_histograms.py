from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from hdgan.plots.histograms import NUM_BINS, histogram


def heights(svg):
    (bars,) = re.findall(r'class="bars" d="(.*?)"', svg)
    return [float(height) for height in re.findall(r"v-([\d.]+)", bars)]


def test_bars_are_as_high_as_the_roots_of_their_counts():
    svg = histogram([0.0] * 100 + [0.5] * 25 + [1.0], title="blur")
    ElementTree.fromstring(svg)
    full, half, tenth = heights(svg)
    assert half == pytest.approx(full / 2, abs=0.1)
    assert tenth == pytest.approx(full / 10, abs=0.1)
    assert "blur (126)" in svg


def test_the_threshold_is_marked_where_it_lies():
    assert "limit" not in histogram([0.2], title="pen")
    places = [float(re.search(r'class="limit" d="M([\d.]+)', histogram([0.2], title="pen", limit=at))[1]) for at in (0.0, 0.5, 1.0)]
    assert places[1] - places[0] == pytest.approx(places[2] - places[1])


def test_no_value_and_values_outside_are_drawn_too():
    assert heights(histogram([], title="x")) == []
    assert len(heights(histogram([-1.0, 2.0], title="x"))) == 2
    assert len(heights(histogram([i / 100 for i in range(100)], title="x"))) == NUM_BINS
