from __future__ import annotations

from pathlib import Path

import pytest
import shapely

from hdgan.slides.regions.asap import read_asap
from hdgan.slides.regions.read import read_regions
from hdgan.slides.regions.xml_tree import parse_xml
from tests.slides.outlining import annotation, asap, square

WHERE = Path("a.xml")


def read(*annotations):
    return read_asap(parse_xml(asap(*annotations), where=WHERE), where=WHERE)


@pytest.mark.parametrize("kind", ["Polygon", "Rectangle", "Spline"])
def test_corners_are_joined_in_their_order_whatever_their_place_in_the_file(kind):
    (drawing,) = read(annotation([[0, 0], [9, 0], [9, 5], [3, 8], [0, 5]], group="tumour", kind=kind)).drawings
    assert drawing.class_name == "tumour"
    assert drawing.polygons[0][0].tolist() == [[0, 0], [9, 0], [9, 5], [3, 8], [0, 5]]


def test_dots_and_measurements_have_no_area_and_no_group_is_no_class():
    found = read(annotation([[1, 1]], kind="Dot"), annotation(square(0, 0, 5), kind="Measurement"), annotation(square(0, 0, 5)))
    assert found.without_area == (1, 2)
    assert [(drawing.number, drawing.class_name) for drawing in found.drawings] == [(3, "")]


@pytest.mark.parametrize("group", ["Exclusion", "_2"])
def test_the_group_of_exclusions_is_cut_out_of_the_others(tmp_path, group):
    (tmp_path / "a.xml").write_bytes(asap(annotation(square(0, 0, 100), group="_0"), annotation(square(50, 50, 100), group=group)))
    (outline,) = read_regions(tmp_path / "a.xml", size_px=(200, 200)).outlines
    assert outline.class_name == "_0"
    assert outline.shape.equals(shapely.Polygon([(0, 0), (100, 0), (100, 50), (50, 50), (50, 100), (0, 100)]))
