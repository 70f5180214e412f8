"""Whatever is in a file: it is read exactly, or refused in one line."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from hdgan.annotations.geojson import regions_from_json
from hdgan.annotations.masks import read_index_mask
from hdgan.errors import BadInput, BadMask
from hdgan.labels import KIDNEY

leaves = st.one_of(
    st.none(), st.booleans(), st.integers(-9, 9), st.floats(allow_nan=False), st.sampled_from(["Polygon", "MultiPolygon", "artery", ""])
)
keys = st.sampled_from(["type", "geometry", "coordinates", "properties", "classification", "name", "names", "color"])
anything = st.recursive(leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4), max_leaves=25)
geometries = st.fixed_dictionaries({"type": st.sampled_from(["Polygon", "MultiPolygon"]), "coordinates": anything})
features = st.fixed_dictionaries({"geometry": geometries | anything, "properties": anything})


@settings(max_examples=300)
@given(st.one_of(anything, st.lists(features, max_size=3)))
def test_any_json_is_regions_or_one_line(data):
    regions, refusal = (), ""
    try:
        regions = regions_from_json(data, where="a.geojson")
    except BadInput as error:
        refusal = str(error)
    assert "\n" not in refusal
    assert all(ring.shape[1] == 2 and len(ring) >= 3 for region in regions for part in region.polygons for ring in part)


@pytest.mark.parametrize("mode", ["L", "P"])
def test_a_mask_with_a_flipped_bit_or_a_cut_end_is_equal_or_refused(tmp_path, mode):
    draws = np.random.default_rng(3)
    mask = draws.integers(0, 5, (40, 40), dtype=np.uint8)
    image = Image.fromarray(mask)
    if mode == "P":
        image.putpalette([level for entry in KIDNEY.classes for level in entry.rgb])
    path = tmp_path / "m.png"
    exif = image.getexif()
    exif[0x0112] = 1
    image.save(path, exif=exif)
    whole = path.read_bytes()
    refusals = []
    for number in range(250):
        raw = bytearray(whole)
        place = int(draws.integers(len(raw)))
        if number % 5:
            raw[place] ^= 1 << int(draws.integers(8))
        else:
            del raw[place:]
        path.write_bytes(raw)
        try:
            assert np.array_equal(read_index_mask(path, classes=KIDNEY, shape=(40, 40)), mask)
        except BadMask as error:
            refusals.append(str(error))
    assert len(refusals) > 240
    assert not any("\n" in line for line in refusals)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=80))
def test_any_bytes_after_a_png_header_are_refused(tmp_path, tail):
    path = tmp_path / "m.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x04\0\0\0\x04\x08\0\0\0\0" + tail)
    with pytest.raises(BadMask):
        read_index_mask(path, classes=KIDNEY, shape=(4, 4))
