from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from hdgan.errors import BadInput
from hdgan.slides.protocol import Box
from hdgan.slides.regions.read import read_regions
from tests.slides.outlining import annotation, asap, circle, feature, imagescope, layer, region, square, write_qupath

SIZE = (1000, 800)
DATA = os.environ.get("HDGAN_DATA")
BOW_TIE = [[100, 100], [200, 200], [200, 100], [100, 200]]


def read(tmp_path: Path, content: bytes | str | list | dict, *, name="a.xml"):
    data = content if isinstance(content, bytes) else (content if isinstance(content, str) else json.dumps(content)).encode()
    (tmp_path / name).write_bytes(data)
    return read_regions(tmp_path / name, size_px=SIZE)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (json.dumps([feature(square(100, 200, 50), classification={"name": "glomerulus"})]).encode(), "qupath"),
        (gzip.compress(json.dumps(feature(square(100, 200, 50), classification="glomerulus")).encode()), "qupath"),
        (imagescope(layer(region(square(100, 200, 50)), name="glomerulus")), "imagescope"),
        (b"\xef\xbb\xbf\r\n" + imagescope(layer(region(square(100, 200, 50)), name="glomerulus")).split(b"\n", 1)[1], "imagescope"),
        (
            imagescope(layer(region(square(100, 200, 50)), name="glomerulus")).decode().replace("UTF-8", "UTF-16").encode("utf-16"),
            "imagescope",
        ),
        (asap(annotation(square(100, 200, 50), group="glomerulus")), "asap"),
    ],
)
def test_the_format_is_told_by_content_and_all_give_the_same_shape(tmp_path, content, told):
    found = read(tmp_path, content, name="outlines.txt")
    assert found.format == told
    assert found.notes == ()
    (outline,) = found.outlines
    assert (outline.number, outline.class_name) == (1, "glomerulus")
    assert outline.shape.equals(shapely.box(100, 200, 150, 250))


def test_qupath_counts_from_the_corner_of_the_scanned_part_where_a_slide_states_one(tmp_path):
    path = write_qupath(tmp_path / "a.geojson", [("a", square(100, 200, 50)), ("b", square(590, 0, 20))])
    found = read_regions(path, size_px=SIZE, scanned=Box(300, 40, 600, 700))
    assert [outline.shape.bounds for outline in found.outlines] == [(400, 240, 450, 290), (890, 40, 910, 60)]
    assert found.counted_from == (300, 40)
    assert read_regions(path, size_px=SIZE).counted_from == (0, 0)


@pytest.mark.parametrize(
    "content",
    [imagescope(layer(region(square(100, 200, 50)), name="a")), asap(annotation(square(100, 200, 50), group="a"))],
    ids=["imagescope", "asap"],
)
def test_other_programs_count_from_the_corner_of_the_slide(tmp_path, content):
    (tmp_path / "a.xml").write_bytes(content)
    found = read_regions(tmp_path / "a.xml", size_px=SIZE, scanned=Box(300, 40, 600, 700))
    assert [outline.shape.bounds for outline in found.outlines] == [(100, 200, 150, 250)]


def test_qupath_outlines_that_were_counted_from_the_corner_of_the_slide_are_refused(tmp_path):
    path = write_qupath(tmp_path / "a.geojson", [("a", square(700, 200, 50))])
    with pytest.raises(BadInput, match=r"outside of the part of the slide that was scanned \(from x 300, y 40\) of 600 x 700 px"):
        read_regions(path, size_px=SIZE, scanned=Box(300, 40, 600, 700))


def test_an_outline_that_crosses_itself_is_repaired_by_the_even_odd_rule_and_noted(tmp_path):
    found = read(tmp_path, [feature(BOW_TIE, classification="a"), feature(square(0, 0, 10), classification="b")])
    assert [(outline.number, outline.class_name) for outline in found.outlines] == [(1, "a"), (1, "a"), (2, "b")]
    assert sum(outline.shape.area for outline in found.outlines[:2]) == pytest.approx(5000)
    assert found.notes == ("1 outline (number 1) repaired, because they cross or touch themselves",)


def test_what_has_no_area_is_left_out_and_noted(tmp_path):
    flat = {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": []}, "properties": {}}
    line = [[0, 0], [5, 5], [10, 10]]
    point = {"type": "Feature", "geometry": {"type": "Point", "coordinates": [1, 2]}, "properties": {"classification": "a"}}
    nothing = {"type": "Feature", "geometry": None, "properties": None}
    found = read(tmp_path, [flat, feature(line), point, nothing, feature([[1, 1], [2, 2]]), feature(square(0, 0, 10)), feature([[0, 0]])])
    assert [outline.number for outline in found.outlines] == [6]
    assert found.notes == ("6 outlines (number 1, 2, 3, 4, 5 and 1 more) left out, because they have no area on the slide",)


def test_what_sticks_out_a_little_is_cut_at_the_edge_of_the_slide(tmp_path):
    found = read(tmp_path, [feature(square(-20, 790, 60), classification="a"), feature(square(-30, 0, 20), classification="b")])
    (outline,) = found.outlines
    assert outline.shape.equals(shapely.box(0, 790, 40, 800))
    assert found.notes == (
        "1 outline (number 1) cut at the edge of the slide",
        "1 outline (number 2) left out, because they have no area on the slide",
    )


def test_coordinates_far_outside_are_refused_with_file_number_and_remedy(tmp_path):
    with pytest.raises(BadInput, match=r"a\.xml: outline 2 spans x 3000 to 3010.*slide of 1000 x 800 px; .*full size") as caught:
        read(tmp_path, [feature(square(0, 0, 9)), feature(square(3000, 100, 10), classification="b")])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"BM......",
        b"\x1f\x8b nothing",
        b"{}",
        b"[1]",
        b'[{"type": "Feature", "geometry": {"type": "Ball"}}]',
        b'[{"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [[[0, 0], [1, "x"], [4, 5]]]}}]',
        b'[{"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [7]}}]',
        b"<svg/>",
        b"<Annotations>",
        imagescope(layer(region([["x", 1], [2, 2], [3, 1]]))),
        imagescope(layer(region([["nan", 1], [2, 2], [3, 1]]))),
        asap(annotation(square(0, 0, 5)).replace('Order="0"', 'Order="first"')),
        b"<Annotations>" + b"<a>" * 10_000,
        b'<?xml version="1.0" encoding="no-such"?><Annotations/>',
    ],
)
def test_a_broken_or_foreign_file_is_refused_in_one_line(tmp_path, content):
    with pytest.raises(BadInput) as caught:
        read(tmp_path, content)
    assert str(caught.value).startswith(str(tmp_path / "a.xml"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "head",
    [
        '<!DOCTYPE a [<!ENTITY lol "lol"><!ENTITY more "&lol;&lol;&lol;">]>',
        '<!DOCTYPE a SYSTEM "file:///etc/passwd">',
        '<!DOCTYPE a [<!ENTITY file SYSTEM "file:///etc/passwd">]>',
    ],
)
def test_a_document_type_is_refused_before_an_entity_can_be_expanded(tmp_path, head):
    with pytest.raises(BadInput, match="DOCTYPE"):
        read(tmp_path, f'<?xml version="1.0"?>{head}<Annotations><Annotation Name="&more;"/></Annotations>')


def test_an_entity_that_nobody_declared_is_refused(tmp_path):
    with pytest.raises(BadInput, match="undefined entity"):
        read(tmp_path, '<Annotations><Annotation Name="&more;"/></Annotations>')


def _is_inside(ring: list[list[int]], points: np.ndarray) -> np.ndarray:
    """The even-odd rule in plain words: a ray to the right crosses the ring an odd number of times; bool `[N]`."""
    crossings = np.zeros(len(points), int)
    for (x0, y0), (x1, y1) in zip(ring, [*ring[1:], ring[0]], strict=True):
        if y0 != y1:
            at = x0 + (points[:, 1] - y0) * (x1 - x0) / (y1 - y0)
            crossings += ((points[:, 1] >= min(y0, y1)) & (points[:, 1] < max(y0, y1)) & (at > points[:, 0])).astype(int)
    return crossings % 2 == 1


coordinates = st.tuples(st.integers(0, 60), st.integers(0, 60)).map(list)
rings = st.lists(coordinates, min_size=3, max_size=9)


def test_a_shell_without_area_encloses_nothing_whatever_its_holes(tmp_path):
    """GEOS fails to repair such a pair."""
    found = read(tmp_path, [feature([[0, 0], [0, 0], [0, 0]], [[0, 1], [0, 2], [1, 0]], classification="a")])
    assert found.outlines == ()
    line = [[0, 0], [50, 50], [0, 0], [60, 0], [60, 20]]
    assert all(outline.shape.geom_type == "Polygon" for outline in read(tmp_path, [feature(line, classification="a")]).outlines)


@settings(max_examples=80)
@given(st.lists(st.lists(rings, min_size=1, max_size=3), min_size=1, max_size=5))
def test_whatever_rings_are_drawn_shapes_are_valid_inside_the_slide_and_even_odd(tmp_path_factory, drawn):
    path = tmp_path_factory.mktemp("r") / "a.geojson"
    path.write_text(json.dumps([feature(*polygon, classification="a") for polygon in drawn]))
    found = read_regions(path, size_px=(58, 58))
    slide = shapely.box(0, 0, 58, 58)
    for outline in found.outlines:
        assert outline.shape.is_valid
        assert outline.shape.area > 0
        assert slide.covers(outline.shape)
    for number, polygon in enumerate(drawn, start=1):
        mine = shapely.union_all([outline.shape for outline in found.outlines if outline.number == number])
        centres = np.stack(np.meshgrid(np.arange(0, 58, 2) + 0.37, np.arange(0, 58, 2) + 0.41), axis=-1).reshape(
            -1, 2
        )  # on no edge of whole numbers
        odd = [_is_inside(ring, centres) for ring in polygon]
        inside = odd[0] & ~np.any(odd[1:], axis=0) if len(odd) > 1 else odd[0]
        near = shapely.distance(shapely.points(centres), shapely.MultiLineString([[*ring, ring[0]] for ring in polygon])) < 1e-6
        assert np.array_equal(shapely.contains_xy(mine, *centres.T)[~near], inside[~near])


def test_equal_bytes_have_the_same_content_hash_and_others_another(tmp_path):
    first = read_regions(write_qupath(tmp_path / "a.geojson", [("a", circle(50, 50, 20))]), size_px=SIZE)
    again = read_regions(write_qupath(tmp_path / "b.geojson", [("a", circle(50, 50, 20))]), size_px=SIZE)
    other = read_regions(write_qupath(tmp_path / "c.geojson", [("a", circle(50, 50, 21))]), size_px=SIZE)
    assert first == again
    assert first.content != other.content


@pytest.mark.skipif(DATA is None, reason="HDGAN_DATA is not set")
def test_the_outlines_of_a_real_biopsy_have_the_area_of_its_mask(monkeypatch):
    folder = Path(str(DATA)) / "kidney" / "slides"
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    mask = np.asarray(Image.open(folder / "biopsy-a.glomerulus.png"))
    found = read_regions(folder / "biopsy-a.geojson", size_px=(mask.shape[1], mask.shape[0]))
    area = shapely.union_all([outline.shape for outline in found.outlines]).area
    assert len({outline.number for outline in found.outlines}) == 12
    assert area == pytest.approx(np.count_nonzero(mask), rel=0.01)
