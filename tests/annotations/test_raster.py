from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hdgan.annotations.raster import fill, polygon_pixels

SHAPE = (13, 17)
CENTRE_X, CENTRE_Y = (axis + 0.5 for axis in np.meshgrid(np.arange(SHAPE[1]), np.arange(SHAPE[0])))

hundredths = st.integers(-300, 2000).map(lambda value: value / 100)
quarters = st.integers(-12, 80).map(lambda value: value / 4)


def ring(coordinate):
    return st.lists(st.tuples(coordinate, coordinate), min_size=3, max_size=9, unique=True).map(np.asarray)


def expected(geometry):
    return shapely.contains_xy(geometry, CENTRE_X, CENTRE_Y)


def on_an_edge(points):
    return shapely.distance(shapely.LinearRing(points), shapely.points(CENTRE_X, CENTRE_Y)) < 1e-9


@settings(max_examples=150)
@given(st.one_of(ring(hundredths), ring(quarters)))
def test_a_pixel_belongs_to_a_ring_when_shapely_finds_its_centre_inside(points):
    # A ring that crosses itself is even-odd: what GEOS makes of its lines.
    geometry = shapely.make_valid(shapely.Polygon(points), method="linework")
    assume(geometry.area > 0)
    decided = ~on_an_edge(points)
    filled = fill([(points.astype(float),)], shape=SHAPE)
    assert np.array_equal(filled[decided], expected(geometry)[decided])


@settings(max_examples=80)
@given(ring(hundredths), ring(hundredths))
def test_a_hole_is_taken_away_wherever_it_lies(shell, hole):
    whole, away = (shapely.make_valid(shapely.Polygon(points), method="linework") for points in (shell, hole))
    decided = ~on_an_edge(shell) & ~on_an_edge(hole)
    filled = fill([(shell.astype(float), hole.astype(float))], shape=SHAPE)
    assert np.array_equal(filled[decided], (expected(whole) & ~expected(away))[decided])


@settings(max_examples=80)
@given(st.lists(quarters, min_size=2, max_size=6), st.lists(st.integers(0, 68), min_size=2, max_size=6, unique=True))
def test_two_polygons_along_a_common_line_share_no_pixel_and_leave_none_out(xs, ys):
    line = np.array(list(zip(np.resize(xs, len(ys)), sorted(y / 4 for y in ys), strict=True)))
    left = np.concatenate([[(-30.0, line[0, 1])], line, [(-30.0, line[-1, 1])]])
    right = np.concatenate([[(50.0, line[0, 1])], line, [(50.0, line[-1, 1])]])
    both = [fill([(points,)], shape=SHAPE) for points in (left, right[::-1])]
    top, bottom = line[0, 1], line[-1, 1]
    rows = (top <= CENTRE_Y) & (bottom > CENTRE_Y)
    assert np.array_equal(both[0] ^ both[1], rows)
    assert not (both[0] & both[1]).any()


def test_whole_pixel_rectangles_cover_exactly_their_pixels():
    filled = fill([(np.array([[2.0, 3], [5, 3], [5, 7], [2, 7], [2, 3]]),)], shape=SHAPE)
    rows, columns = np.nonzero(filled)
    assert (rows.min(), rows.max(), columns.min(), columns.max(), filled.sum()) == (3, 6, 2, 4, 12)


@pytest.mark.parametrize("offset", [(-100.0, 0.0), (0.0, -100.0), (100.0, 0.0), (0.0, 100.0)])
def test_a_polygon_outside_of_the_image_has_no_pixels(offset):
    square = np.array([[0.0, 0], [4, 0], [4, 4], [0, 4]]) + offset
    window, inside = polygon_pixels((square,), shape=SHAPE)
    assert inside.sum() == 0
    assert np.zeros(SHAPE)[window].size == 0
