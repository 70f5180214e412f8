from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hdgan import optional
from hdgan.annotations.raster import fill
from hdgan.annotations.trace import label_pieces, signed_area, trace
from hdgan.errors import MissingExtra

masks = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=14), elements=st.sampled_from([0, 1, 2, 255]))


def shape_of(polygon):
    return shapely.Polygon(polygon[0], polygon[1:])


@settings(max_examples=150)
@given(masks)
def test_filling_the_traced_pieces_gives_every_pixel_back(mask):
    back = np.full(mask.shape, 77, np.uint8)
    for piece in trace(mask):
        inside = fill([piece.polygon], shape=mask.shape)
        assert np.all(back[inside] == 77), "pieces do not overlap"
        assert inside.sum() == piece.num_pixels
        back[inside] = piece.value
    assert np.array_equal(back, mask)


@settings(max_examples=150)
@given(masks)
def test_every_traced_polygon_is_valid_and_has_the_area_of_its_pixels(mask):
    for piece in trace(mask):
        polygon = shape_of(piece.polygon)
        assert polygon.is_valid, shapely.is_valid_reason(polygon)
        assert polygon.area == piece.num_pixels
        assert signed_area(piece.polygon[0]) > 0 > max((signed_area(hole) for hole in piece.polygon[1:]), default=-1)


@settings(max_examples=60)
@given(masks)
def test_a_piece_is_the_union_of_its_pixels_as_shapely_makes_it(mask):
    pieces, values = label_pieces(mask)
    for number, piece in enumerate(trace(mask), start=1):
        rows, columns = np.nonzero(pieces == number)
        union = shapely.union_all(shapely.box(columns, rows, columns + 1, rows + 1))
        assert piece.value == values[number - 1]
        assert shape_of(piece.polygon).normalize().equals(union.normalize())


def test_a_ring_that_closes_over_a_corner_becomes_a_shell_with_a_hole():
    mask = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 0]], np.uint8)
    (outer,) = [piece for piece in trace(mask) if piece.value == 1]
    assert len(outer.polygon) == 2
    assert outer.polygon[1].tolist() == [[1, 1], [1, 2], [2, 2], [2, 1]]


def test_pixels_that_touch_by_a_corner_only_are_two_pieces():
    mask = np.array([[1, 0], [0, 1]], np.uint8)
    assert [piece.value for piece in trace(mask)] == [0, 0, 1, 1]


def test_only_corners_are_written_down():
    (piece,) = trace(np.zeros((40, 60), np.uint8))
    assert piece.polygon[0].tolist() == [[0, 0], [60, 0], [60, 40], [0, 40]]


def test_without_scipy_the_line_says_how_to_get_it(monkeypatch):
    def absent(name):
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(optional.importlib, "import_module", absent)
    with pytest.raises(MissingExtra, match=r"scipy\.ndimage is not installed .*pip install 'hdgan\[gan\]'"):
        list(trace(np.zeros((2, 2), np.uint8)))
