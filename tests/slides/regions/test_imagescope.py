from __future__ import annotations

from pathlib import Path

import pytest
import shapely

from hdgan.slides.regions.imagescope import read_imagescope
from hdgan.slides.regions.read import read_regions
from hdgan.slides.regions.xml_tree import parse_xml
from tests.slides.outlining import imagescope, layer, region, square

WHERE = Path("a.xml")


def read(*layers):
    return read_imagescope(parse_xml(imagescope(*layers), where=WHERE), where=WHERE)


@pytest.mark.parametrize(
    ("names", "text", "class_name"),
    [
        ({"name": "glomerulus"}, "", "glomerulus"),
        ({"name": "glomerulus"}, "sclerosed", "glomerulus: sclerosed"),
        ({"name": "glomerulus"}, "12", "glomerulus"),
        ({"name": "glomerulus"}, "Glomerulus", "glomerulus"),
        ({"description": "artery"}, "", "artery"),
        ({}, "arteriole", "arteriole"),
        ({"number": 3}, "", "layer 3"),
    ],
)
def test_the_class_comes_from_the_layer_and_the_text(names, text, class_name):
    (drawing,) = read(layer(region(square(0, 0, 5), text=text), **names)).drawings
    assert drawing.class_name == class_name


def test_a_negative_region_is_cut_out_of_its_own_layer_only(tmp_path):
    hole = region(square(20, 20, 10), is_negative=True)
    (tmp_path / "a.xml").write_bytes(
        imagescope(layer(region(square(0, 0, 100)), hole, name="a"), layer(region(square(0, 0, 100)), name="b"))
    )
    first, second = read_regions(tmp_path / "a.xml", size_px=(200, 200)).outlines
    assert (first.shape.area, second.shape.area) == (10_000 - 100, 10_000)
    assert len(first.shape.interiors) == 1


def test_regions_are_numbered_through_all_layers():
    found = read(layer(region(square(0, 0, 5)), region(square(9, 9, 5))), layer(region(square(0, 0, 5))))
    assert [drawing.number for drawing in found.drawings] == [1, 2, 3]


def test_an_ellipse_is_that_of_its_box_and_a_rectangle_may_have_two_corners():
    found = read(layer(region([[0, 0], [40, 20]], kind="2"), region([[10, 30], [0, 0]], kind="1"), region(square(0, 0, 7), kind="1")))
    ellipse, rectangle, other = (shapely.Polygon(drawing.polygons[0][0]) for drawing in found.drawings)
    assert ellipse.bounds == pytest.approx((0, 0, 40, 20))
    assert ellipse.area == pytest.approx(3.14159 * 20 * 10, rel=0.01)
    assert rectangle.bounds == (0, 0, 10, 30)
    assert other.area == 49


def test_arrows_rulers_and_outlines_of_two_corners_have_no_area():
    found = read(layer(region(square(0, 0, 5), kind="3"), region(square(0, 0, 5), kind="4"), region([[0, 0], [1, 1]])))
    assert found.drawings == ()
    assert found.without_area == (1, 2, 3)
