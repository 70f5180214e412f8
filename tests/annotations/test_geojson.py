from __future__ import annotations

import gzip
import json
import uuid

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hdgan.annotations.geojson import geojson_text, mask_to_geojson, read_geojson, regions_from_json
from hdgan.annotations.regions import ClassNames, paint
from hdgan.errors import BadInput, BadMask
from hdgan.labels import IGNORE, KIDNEY

masks = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=16), elements=st.sampled_from([0, 1, 2, 4, 255]))
SQUARE = [[1, 1], [5, 1], [5, 5], [1, 5], [1, 1]]


def feature(coordinates=(SQUARE,), *, kind="Polygon", classification="glomerulus"):
    properties = {"objectType": "annotation", "classification": classification}
    return {"type": "Feature", "geometry": {"type": kind, "coordinates": list(coordinates)}, "properties": properties}


@settings(max_examples=150)
@given(masks, st.sampled_from(["area", "file", "class"]), st.booleans())
def test_a_mask_written_for_qupath_and_read_again_is_the_same_in_every_pixel(mask, order, include_ignored):
    text = geojson_text(mask_to_geojson(mask, KIDNEY, name="000001", include_ignored=include_ignored))
    regions = regions_from_json(json.loads(text), where="memory")
    background = 1 if include_ignored else IGNORE
    assert np.array_equal(paint(regions, ClassNames(KIDNEY), shape=mask.shape, background=background, order=order), mask)


@settings(max_examples=60)
@given(masks)
def test_every_feature_is_what_qupath_reads(mask):
    data = mask_to_geojson(mask, KIDNEY, name="000001", metadata={"annotator": "A. B."})
    ids = [uuid.UUID(row["id"]) for row in data["features"]]
    assert len(set(ids)) == len(ids)
    for row in data["features"]:
        classification = row["properties"]["classification"]
        assert classification["color"] == list(KIDNEY.classes[KIDNEY.index(classification["name"])].rgb)
        assert row["properties"]["metadata"] == {"annotator": "A. B.", "image": "000001"}
        rings = row["geometry"]["coordinates"]
        assert all(ring[0] == ring[-1] and len(ring) >= 5 for ring in rings)
        geometry = shapely.geometry.shape(row["geometry"])
        assert geometry.is_valid
        assert geometry.area == row["properties"]["measurements"]["Area px^2"]


def test_equal_masks_give_equal_text_and_other_images_other_ids():
    mask = np.eye(5, dtype=np.uint8)
    first, again = (geojson_text(mask_to_geojson(mask, KIDNEY, name="a")) for _ in range(2))
    other = mask_to_geojson(mask, KIDNEY, name="b")
    assert first == again
    assert {row["id"] for row in other["features"]}.isdisjoint(row["id"] for row in json.loads(first)["features"])


def test_a_mask_with_a_foreign_label_is_not_written():
    with pytest.raises(BadMask, match=r"foreign label 5 \(4 px\)"):
        mask_to_geojson(np.full((2, 2), 5, np.uint8), KIDNEY, name="a")


@pytest.mark.parametrize("wrap", [lambda rows: {"type": "FeatureCollection", "features": rows}, lambda rows: rows, lambda rows: rows[0]])
def test_a_collection_a_list_and_a_single_feature_are_read_alike(tmp_path, wrap):
    (tmp_path / "a.geojson").write_text(json.dumps(wrap([feature()])))
    with gzip.open(tmp_path / "a.geojson.gz", "wb") as stream:
        stream.write(json.dumps(wrap([feature()])).encode())
    for name in ("a.geojson", "a.geojson.gz"):
        (region,) = read_geojson(tmp_path / name)
        assert (region.number, region.class_name, len(region.polygons)) == (1, "glomerulus", 1)
        assert region.polygons[0][0].tolist() == SQUARE[:-1]


@pytest.mark.parametrize(
    ("classification", "name"),
    [
        ({"name": "Artery", "color": [1, 2, 3]}, "Artery"),
        ({"names": ["Artery", "small"], "color": [1, 2, 3]}, "Artery: small"),
        (" Artery ", "Artery"),
        (None, ""),
        ({"color": [1, 2, 3]}, ""),
    ],
)
def test_class_names_are_read_in_every_form_that_qupath_wrote(classification, name):
    (region,) = regions_from_json([feature(classification=classification)], where="memory")
    assert region.class_name == name


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ({"type": "Topology"}, "neither a FeatureCollection nor a list"),
        ([feature([3, 4], kind="Point")], "feature 1 is a Point, which has no area"),
        ([feature(), {"type": "Feature"}], "feature 2 has no geometry"),
        ([feature([])], "without rings"),
        ([feature([[[0, 0], [1, 1]]])], "ring of 2 corners"),
        ([feature([[[0, 0], [1, 1], [0, 0]]])], "ring of 2 corners"),
        ([feature([[[0, 0], [1, "x"], [4, 5]]])], "no pair of pixel coordinates"),
        ([feature([[[0, 0], [1, 1e12], [4, 5]]])], "no pair of pixel coordinates"),
        ([feature([[[0, 0], [True, 1], [4, 5]]])], "no pair of pixel coordinates"),
        ([feature(classification=7)], "classification without a name"),
    ],
)
def test_what_is_no_area_of_pixels_is_refused_by_its_number(data, told):
    with pytest.raises(BadInput, match=told) as caught:
        regions_from_json(data, where="a.geojson")
    assert str(caught.value).startswith("a.geojson: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[NaN]", b"[" * 100_000])
def test_a_broken_file_is_refused_in_one_line(tmp_path, content):
    (tmp_path / "a.geojson").write_bytes(content)
    with pytest.raises(BadInput, match="cannot be read as GeoJSON"):
        read_geojson(tmp_path / "a.geojson")
    (tmp_path / "b.geojson.gz").write_bytes(content)
    with pytest.raises(BadInput, match=r"cannot be read as GeoJSON|neither"):
        read_geojson(tmp_path / "b.geojson.gz")
