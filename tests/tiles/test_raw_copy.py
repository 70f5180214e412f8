from __future__ import annotations

import io
import os
from contextlib import closing
from pathlib import Path

import numpy as np
import openslide
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from hdgan.errors import BadInput
from hdgan.slides.reader import open_slide
from hdgan.slides.table import SlideEntry
from hdgan.store.codec import decode
from hdgan.tiles import encode, raw_copy
from hdgan.tiles.config import TilesConfig
from hdgan.tiles.cut import UNREADABLE, cut_slide
from hdgan.tiles.plan import plan_slide
from hdgan.tiles.raw_copy import JpegTiles, RawGrid, snapped
from tests.slides.jpeg_painting import COLOURS, write_jpeg_slide
from tests.slides.painting import paint, write_slide

DATA = os.environ.get("HDGAN_DATA")


def cut(path: Path, config: TilesConfig):
    slide = open_slide(path)
    plan = plan_slide(slide, SlideEntry(path.stem, path, patient="p"), config)
    return plan, list(cut_slide(slide, plan, config))


def raw(**settings) -> TilesConfig:
    return TilesConfig(**{"slides": ("s",), "mpp": 0.5, "tile_px": 100, "format": "raw", "max_background": 1.0} | settings)


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize(("name", "tile"), [("a.tif", 64), ("a.svs", 48)])
@pytest.mark.parametrize("mpp", [0.5, 1.0])
def test_a_copied_tile_has_the_pixels_that_openslide_gives_in_every_reader(tmp_path, colour, name, tile, mpp):
    path = write_jpeg_slide(tmp_path / name, colour=colour, tile=tile)
    plan, cells = cut(path, raw(mpp=mpp))
    level = 0 if mpp == 0.5 else 1
    assert plan.raw_level == level
    tiles = [tile for _, tile in cells if tile]
    assert len(tiles) == len(cells) >= 4
    with openslide.OpenSlide(path) as slide:
        for made in tiles:
            expected = np.asarray(slide.read_region((made.row.x_px, made.row.y_px), level, (100, 100)))[..., :3]
            assert made.row.name.endswith(".tif")
            assert np.array_equal(decode(made.encoded, "raw"), expected)
            with Image.open(io.BytesIO(made.encoded)) as image:
                assert np.array_equal(np.asarray(image.convert("RGB")), expected)


def test_short_streams_that_come_again_are_looked_through_once_and_long_ones_are_not_kept(tmp_path):
    pixels = np.full((256, 256, 3), 255, np.uint8)
    pixels[:64, :64] = np.random.default_rng(0).integers(0, 256, (64, 64, 3))
    path = write_jpeg_slide(tmp_path / "a.tif", pixels, levels=1)
    raw_copy._bare_again.cache_clear()
    with JpegTiles(path, size_px=(256, 256)) as tiles:
        copies = [tiles.copy((x, y), size_px=64) for y in range(0, 256, 64) for x in range(0, 256, 64)]
    assert len(copies[0].encoded) > raw_copy._SHORT_BYTES > len(copies[1].encoded)
    assert all(copy.is_verbatim for copy in copies)
    assert (raw_copy._bare_again.cache_info().misses, raw_copy._bare_again.cache_info().hits) == (1, 14)
    with closing(open_slide(path)) as slide:
        expected = slide.read((64, 64), level0_size=64, out_px=64)
    assert all(np.array_equal(decode(copy.encoded, "raw"), expected) for copy in copies[1:])


def test_copies_hold_the_very_streams_of_the_slide_and_less_than_png(tmp_path):
    path = write_jpeg_slide(tmp_path / "a.tif")
    streams = set()
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0]
        for offset, num in zip(page.dataoffsets, page.databytecounts, strict=True):
            streams.add(path.read_bytes()[offset : offset + num])
    _, cells = cut(path, raw(tile_px=128))
    for _, made in cells:
        with tifffile.TiffFile(io.BytesIO(made.encoded)) as tiff:
            page = tiff.pages[0]
            copied = {made.encoded[o : o + n] for o, n in zip(page.dataoffsets, page.databytecounts, strict=True)}
        assert copied <= streams
        assert len(copied) == 4
    as_png = [made for _, made in cut(path, raw(tile_px=128, format="png"))[1]]
    assert sum(len(made.encoded) for _, made in cells) < 0.6 * sum(len(made.encoded) for made in as_png)


@given(
    cells=st.lists(st.tuples(st.integers(0, 900), st.integers(0, 700)), max_size=8),
    tile=st.tuples(st.integers(1, 9).map(lambda n: 16 * n), st.integers(1, 9).map(lambda n: 16 * n)),
    downsample=st.integers(1, 4),
)
def test_snapped_corners_lie_on_the_grid_inside_the_slide_and_near_their_cell(cells, tile, downsample):
    size, edge = (1000, 800), 100
    moved = snapped(cells, grid=RawGrid(0, downsample, tile), edge_px=edge, size_px=size)
    assert len(set(moved)) == len(moved) <= len(cells)
    steps = [px * downsample for px in tile]
    for x, y in moved:
        assert x % steps[0] == y % steps[1] == 0
        assert 0 <= x <= size[0] - edge
        assert 0 <= y <= size[1] - edge
    for cell in cells:
        nearest = [min(abs(place - other[axis]) for other in moved) for axis, place in enumerate(cell)]
        assert nearest[0] < steps[0]
        assert nearest[1] < steps[1]


@pytest.mark.parametrize(
    ("write", "settings", "why"),
    [
        (lambda path: write_slide(path, paint()), {}, "stored as ADOBE_DEFLATE, not as JPEG"),
        (lambda path: write_jpeg_slide(path), {"mpp": 0.7}, r"no level has 0.7 um/px \(they have 0.5, 1\); ask for one of these scales"),
        (lambda path: Image.fromarray(paint()).save(path), {"slide_mpp": 0.5}, "a slide of format image is not made of JPEG tiles"),
        (lambda path: write_jpeg_slide(path, paint(641, 513)), {"mpp": 1.0}, "which is no whole number"),
    ],
)
def test_what_cannot_be_copied_is_refused_with_the_reason(tmp_path, write, settings, why):
    write(tmp_path / "a.tif")
    with pytest.raises(BadInput, match=why) as refusal:
        cut(tmp_path / "a.tif", raw(**settings))
    assert 'format = "jxl"' in str(refusal.value)


def test_a_damaged_jpeg_tile_costs_the_tiles_that_hold_it(tmp_path):
    path = write_jpeg_slide(tmp_path / "a.tif", levels=1)
    with tifffile.TiffFile(path) as tiff:
        offset, num = tiff.pages[0].dataoffsets[0], tiff.pages[0].databytecounts[0]
    data = bytearray(path.read_bytes())
    data[offset : offset + num] = bytes(num)
    path.write_bytes(bytes(data))
    verdicts = {(cell.x_px, cell.y_px): cell.verdict for cell, _ in cut(path, raw(tile_px=64))[1]}
    assert [xy for xy, verdict in verdicts.items() if verdict == UNREADABLE] == [(0, 0)]


def test_a_part_that_was_never_scanned_is_stored_as_png(tmp_path, monkeypatch):
    path = write_jpeg_slide(tmp_path / "a.tif")
    plain = JpegTiles._stream
    monkeypatch.setattr(JpegTiles, "_stream", lambda self, index: b"" if index == 0 else plain(self, index))
    names = [made.row.name for _, made in cut(path, raw(tile_px=128))[1]]
    assert [name.rsplit(".", 1)[1] for name in names] == ["png"] + ["tif"] * (len(names) - 1)


def test_a_reader_that_gives_other_pixels_is_found_before_anything_is_copied(tmp_path, monkeypatch):
    path = write_jpeg_slide(tmp_path / "a.tif")
    plain = encode.decode
    monkeypatch.setattr(encode, "decode", lambda data, form: plain(data, form) ^ 1)
    with pytest.raises(BadInput, match="decode to other pixels than the slide's reader gives"):
        cut(path, raw())


@pytest.mark.skipif(not DATA, reason="HDGAN_DATA is not set")
@pytest.mark.parametrize("name", ["kidney/slides/biopsy-a.tif", "slides/CMU-1-Small-Region.svs"])
def test_real_slides_are_copied_bit_by_bit(name):
    path = Path(DATA) / name
    _, cells = cut(path, raw(tile_px=512, mpp=0.499))
    with openslide.OpenSlide(path) as slide:
        for _, made in cells[:: max(1, len(cells) // 8)]:
            expected = np.asarray(slide.read_region((made.row.x_px, made.row.y_px), 0, (512, 512)))[..., :3]
            assert np.array_equal(decode(made.encoded, "raw"), expected)


@pytest.mark.skipif(not DATA, reason="HDGAN_DATA is not set")
@pytest.mark.parametrize(
    ("name", "why"),
    [("tcga-cr-7395-01a-01-ts1.svs", "APERIO_JP2000_RGB|JPEG"), ("multi_frame_jpeg_camelyon_challenge_image.dcm", "format dicom")],
)
def test_real_slides_that_cannot_be_copied_are_refused(name, why):
    slide = open_slide(Path(DATA) / "slides" / name, mpp_override=0.5)
    with pytest.raises(BadInput, match=why):
        plan_slide(slide, SlideEntry("s", slide.path), raw())
