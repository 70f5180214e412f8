from __future__ import annotations

import gzip
import json

import numpy as np
import pytest

from hdgan.errors import BadInput
from hdgan.store.geojson import class_name_of, features_of, geometry_of, parse_geojson, polygons_of, read_bounded, shape_of

SQUARE = [[1, 1], [5, 1], [5, 5], [1, 5], [1, 1]]


def test_a_gzipped_file_is_told_by_its_content_not_by_its_name(tmp_path):
    path = tmp_path / "a.geojson"
    path.write_bytes(gzip.compress(json.dumps([1, 2]).encode()))
    assert parse_geojson(read_bounded(path), where=path) == [1, 2]


def test_more_bytes_than_allowed_are_refused_before_and_after_unpacking(tmp_path):
    path = tmp_path / "a.geojson"
    path.write_bytes(b" " * 11)
    with pytest.raises(BadInput, match="has more than"):
        read_bounded(path, most_bytes=10)
    packed = gzip.compress(b" " * 100_000)
    with pytest.raises(BadInput, match="more than 0 MiB of GeoJSON"):
        parse_geojson(packed, where=path, most_bytes=99_999)


def test_a_file_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(BadInput, match="cannot be read") as caught:
        read_bounded(tmp_path / "a.geojson")
    assert str(caught.value).startswith(str(tmp_path / "a.geojson"))


def test_a_polygon_gives_its_shell_and_its_holes_without_the_repeated_corner():
    hole = [[2, 2, 0], [3, 2, 0], [3, 3, 0], [2, 2, 0]]
    ((shell, inner),) = polygons_of({"type": "Polygon", "coordinates": [SQUARE, hole]}, what="feature 1", where="a")
    assert shell.tolist() == SQUARE[:-1]
    assert inner.tolist() == [[2, 2], [3, 2], [3, 3]]
    many = polygons_of({"type": "MultiPolygon", "coordinates": [[SQUARE], [SQUARE]]}, what="feature 1", where="a")
    assert [len(polygon) for polygon in many] == [1, 1]


def test_features_are_found_in_a_collection_a_list_and_alone():
    row = {"type": "Feature", "geometry": {"type": "Point"}, "properties": {"classification": {"names": ["A", "B"]}}}
    for data in ({"type": "FeatureCollection", "features": [row]}, [row], row):
        (found,) = features_of(data, where="a")
        assert geometry_of(found, what="feature 1", where="a") == {"type": "Point"}
        assert class_name_of(found["properties"], what="feature 1", where="a") == "A: B"


@pytest.mark.parametrize(
    ("rings", "area", "is_repaired"),
    [
        ([SQUARE[:-1]], 16, False),
        ([[[0, 0], [4, 4], [4, 0], [0, 4]]], 8, True),
        ([[[0, 0], [0, 1], [0, 0], [1, 0], [0, 1], [1, 0]]], 0, True),
        ([[[0, 0], [0, 0], [0, 0]], [[0, 1], [0, 2], [1, 0]]], 0, True),
        ([SQUARE[:-1], [[4, 4], [8, 4], [8, 8], [4, 8]]], 15, True),
        ([[[0, 0], [4, 0], [4, 4], [0, 4], [0, 0], [4, 0], [4, 4], [0, 4]]], 0, True),
    ],
    ids=["square", "bow tie", "each line twice", "shell without area", "hole that sticks out", "square drawn twice"],
)
def test_what_rings_enclose_is_even_odd_and_the_shell_without_the_holes(rings, area, is_repaired):
    shape, found = shape_of(tuple(np.array(ring, float) for ring in rings))
    assert (shape.area, found) == (area, is_repaired)
    assert shape.is_valid
