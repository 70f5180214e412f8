from __future__ import annotations

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from hdgan.slides.codecs import APERIO_J2K_YCBCR, JPEG, LZW, RGB, YCBCR, Codec, DamagedTileError
from hdgan.slides.reader import open_slide

from .painting import CODECS, paint, write_coded

EDGE = 128


def stored(path, name):
    """The first compressed tile of a painted slide, its codec, and its pixels."""
    write_coded(path, paint(256, 256, tissue=(0, 0, 1, 1)), codec=name, levels=1)
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0]
        data = path.read_bytes()[page.dataoffsets[0] :][: page.databytecounts[0]]
        codec = Codec(int(page.compression), int(page.photometric), int(page.predictor), page.jpegtables)
    return data, codec, decode(codec, data)


def decode(codec, data):
    return codec.decode(data, out=np.empty((EDGE, EDGE, 3), np.uint8)).copy()


@pytest.fixture(scope="module", params=list(CODECS))
def tile(request, tmp_path_factory):
    return stored(tmp_path_factory.mktemp("tile") / "a.svs", request.param)


@pytest.fixture(scope="module")
def jpeg(tmp_path_factory):
    return stored(tmp_path_factory.mktemp("jpeg") / "a.tif", "jpeg 4:2:0")


def test_a_tile_cut_short_is_refused(tile):
    data, codec, _ = tile
    for length in (0, 1, 3, len(data) // 2, len(data) - 20):
        with pytest.raises(DamagedTileError):
            decode(codec, data[:length])


def test_a_tile_of_other_dimensions_is_refused(tile):
    data, codec, _ = tile
    with pytest.raises(DamagedTileError):
        codec.decode(data, out=np.empty((EDGE, EDGE + 16, 3), np.uint8))


def test_a_tile_with_another_header_than_the_last_is_checked_behind_its_own(jpeg):
    data, codec, pixels = jpeg
    comment = b"\xff\xfe\x00\x06\xff\xfenm"  # holds what may not stand in coded data
    longer = data[:2] + comment + data[2:]
    for stream in (data, longer, longer, data):
        assert np.array_equal(decode(codec, stream), pixels)
    for stream in (longer, data):
        damaged = stream[:-40] + b"\xff\xfe" + stream[-38:]
        with pytest.raises(DamagedTileError, match="foreign marker"):
            decode(codec, damaged)


@settings(max_examples=60)
@given(data=st.data())
def test_any_bytes_give_a_tile_or_a_refusal(tile, data):
    """No other exception, whatever stands there; 40 bytes of any content at any place."""
    encoded, codec, _ = tile
    place = data.draw(st.integers(0, len(encoded) - 1))
    patched = bytearray(encoded)
    patched[place : place + 40] = data.draw(st.binary(min_size=1, max_size=40))
    problem, shape = "", (EDGE, EDGE, 3)
    try:
        shape = decode(codec, bytes(patched)).shape
    except DamagedTileError as error:
        problem = str(error)
    assert shape == (EDGE, EDGE, 3)
    assert "\n" not in problem


@pytest.mark.parametrize("seed", range(5))
def test_random_bytes_within_jpeg_data_are_seen_by_their_markers(jpeg, seed):
    data, codec, _ = jpeg
    garbage = np.random.default_rng(seed).bytes(3000)
    place = len(data) // 3
    assert len(data) > 3 * 3000
    with pytest.raises(DamagedTileError, match="foreign marker"):
        decode(codec, data[:place] + garbage + data[place + 3000 :])


@pytest.mark.parametrize("where", ["first", "middle", "last"])
def test_a_foreign_marker_is_seen_wherever_it_stands_and_no_other(jpeg, where):
    data, codec, _ = jpeg
    header = data.index(b"\xff\xda") + 2
    scan, end = header + int.from_bytes(data[header : header + 2], "big"), len(data) - 2
    middle = next(place for place in range(len(data) // 2, end) if 0xFF not in data[place - 1 : place + 4])
    place = {"first": scan, "middle": middle, "last": end - 3}[where]
    allowed = {0x00, 0xFF, 0xC4, *range(0xD0, 0xD8), *range(0xD9, 0xDC), 0xDD}
    for second in range(256):
        said = ""
        try:
            decode(codec, data[:place] + bytes([0xFF, second, 0]) + data[place + 3 :])
        except DamagedTileError as error:
            said = str(error)
        assert ("foreign marker" in said) == (second not in allowed), hex(second)


def test_damage_that_is_valid_code_is_not_seen(jpeg):
    """The limit that the module states."""
    data, codec, whole = jpeg
    place = len(data) // 2
    found = decode(codec, data[:place] + bytes(200) + data[place + 200 :])
    assert not np.array_equal(found, whole)


def test_bytes_behind_the_end_of_a_jpeg_do_not_matter(jpeg):
    data, codec, whole = jpeg
    assert np.array_equal(decode(codec, data + bytes(10)), whole)


def test_a_marker_in_a_header_is_no_damage(jpeg):
    data, codec, whole = jpeg
    comment = b"\xff\xfe\x00\x08\xff\xda\xff\xc0\xff\xe0"
    assert np.array_equal(decode(codec, data[:2] + comment + data[2:]), whole)


def test_ycbcr_of_jpeg_2000_becomes_the_rgb_of_openslide_for_any_colour(tmp_path, monkeypatch):
    colours = np.random.default_rng(0).integers(0, 256, (512, 512, 3), dtype=np.uint8)
    monkeypatch.setattr("tests.slides.painting._as_stored", lambda pixels, _: pixels)
    path = write_coded(tmp_path / "a.svs", colours, codec="jpeg 2000 ycbcr", is_aperio=True, levels=1)
    ours, reference = open_slide(path), open_slide(path, reader="openslide")
    assert ours.reader == "direct"
    assert np.array_equal(*(slide.read((0, 0), level0_size=512, out_px=512) for slide in (ours, reference)))


@pytest.mark.parametrize(
    ("codec", "reason"),
    [
        (Codec(50001, RGB), "compression 50001"),
        (Codec(JPEG, 5), "photometric interpretation 5"),
        (Codec(LZW, YCBCR), "photometric interpretation 6"),
        (Codec(LZW, RGB, 3), "predictor 3"),
        (Codec(APERIO_J2K_YCBCR, 1), "photometric interpretation 1"),
    ],
)
def test_other_kinds_are_left_alone_with_a_reason(codec, reason):
    assert reason in codec.unsuited()
