from __future__ import annotations

import json
from pathlib import Path

import pytest

from hdgan.errors import BadInput
from hdgan.slides.regions.geojson import read_geojson_regions
from tests.slides.outlining import feature, square

WHERE = Path("a.geojson")


def read(data):
    return read_geojson_regions(json.dumps(data).encode(), where=WHERE)


def geometry(data, **properties):
    return {"type": "Feature", "geometry": data, "properties": properties}


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"classification": {"name": "Artery", "color": [1, 2, 3]}}, "Artery"),
        ({"classification": {"names": ["Artery", "small"]}}, "Artery: small"),
        ({"classification": " Artery ", "name": "A1"}, "Artery"),
        ({"name": " A1 "}, "A1"),
        ({}, ""),
    ],
)
def test_the_class_is_that_of_the_classification_else_the_name(given, name):
    square_ = {"type": "Polygon", "coordinates": [[*square(0, 0, 5), [0, 0]]]}
    (drawing,) = read([geometry(square_, **given)]).drawings
    assert drawing.class_name == name


def test_holes_multipolygons_and_collections_are_one_drawing_each():
    hole = read(feature(square(0, 0, 9), square(2, 2, 3))).drawings[0]
    assert [len(polygon) for polygon in hole.polygons] == [2]
    parts = [[[*square(x, 0, 5), [x, 0]]] for x in (0, 10)]
    many = {"type": "MultiPolygon", "coordinates": parts}
    collection = {
        "type": "GeometryCollection",
        "geometries": [many, {"type": "Point", "coordinates": [1, 1]}, {"type": "Polygon", "coordinates": parts[0]}],
    }
    found = read([geometry(many), geometry({"type": "GeometryCollection", "geometries": [collection]})])
    assert [(drawing.number, len(drawing.polygons)) for drawing in found.drawings] == [(1, 2), (2, 3)]


def test_a_collection_nested_without_end_is_refused():
    data = {"type": "Point", "coordinates": [0, 0]}
    for _ in range(40):
        data = {"type": "GeometryCollection", "geometries": [data]}
    with pytest.raises(BadInput, match="GeometryCollection"):
        read([geometry(data)])


def test_degenerate_rings_are_passed_over_and_counted():
    line = [[0, 0], [1, 1], [0, 0]]
    with_thin_hole = {"type": "Polygon", "coordinates": [[*square(0, 0, 9), [0, 0]], line]}
    found = read([geometry({"type": "Polygon", "coordinates": [line]}), geometry(with_thin_hole)])
    assert found.without_area == (1,)
    assert [len(polygon) for polygon in found.drawings[0].polygons] == [1]
