from __future__ import annotations

import math
import re
from xml.etree import ElementTree

from hdgan.plots.lines import line_chart


def points(svg):
    found = []
    for path in re.findall(r'class="curve" d="M(.*?)"', svg):
        found.append([tuple(float(v) for v in point.split()) for point in path.split("L")])
    return found


def test_lines_go_up_where_values_rise_and_share_their_axes():
    svg = line_chart([[(0, 1.0), (10, 3.0)], [(0, 2.0), (10, 2.0)]], title="loss & more")
    ElementTree.fromstring(svg)
    rising, level = points(svg)
    assert rising[0][0] < rising[1][0]
    assert rising[0][1] > rising[1][1]  # down is positive in SVG
    assert level[0][1] == level[1][1] == (rising[0][1] + rising[1][1]) / 2


def test_what_is_not_finite_is_left_out_and_nothing_at_all_is_drawn_too():
    (line,) = points(line_chart([[(0, math.nan), (1, 1.0), (2, 2.0)]], title="x"))
    assert len(line) == 2
    ElementTree.fromstring(line_chart([], title="x"))
    ElementTree.fromstring(line_chart([[(3, 1.0)]], title="x", mark=1.0))


def test_the_mark_lies_at_its_height():
    svg = line_chart([[(0, 0.0), (1, 1.0)]], title="x", mark=0.5)
    (line,) = points(svg)
    height = float(re.search(r'class="aim" d="M[\d.]+ ([\d.]+)L', svg)[1])
    assert height == (line[0][1] + line[1][1]) / 2


def test_ends_of_both_axes_are_short_numbers():
    svg = line_chart([[(1 / 30, 2 / 3), (29 / 30, 12345.678)]], title="x")
    assert re.findall(r">([0-9.,e+-]+)</text>", svg) == ["0.667", "12,346", "0.0333", "0.967"]
    svg = line_chart([[(0, 0.0), (1, 123_456.0)]], title="x")
    assert ">1e+05</text>" in svg


def test_ends_may_be_words():
    svg = line_chart([[(0, 1.0), (3, 2.0)]], title="x", ends=("0 to 1 px", "beyond 8 px & more"))
    ElementTree.fromstring(svg)
    assert ">0 to 1 px</text>" in svg
    assert ">beyond 8 px &amp; more</text>" in svg
    assert ">3</text>" not in svg
