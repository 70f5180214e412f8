from __future__ import annotations

import numpy as np
import pytest
import tifffile

from hdgan.slides.reader import open_slide
from hdgan.tiles import overview as module
from hdgan.tiles.overview import bounded_step, take_overview
from tests.slides.painting import damage, halved, lose, paint, write_slide


def test_an_overview_in_blocks_equals_one_in_a_piece(tmp_path, monkeypatch):
    pixels = paint()
    slide = open_slide(write_slide(tmp_path / "a.tif", pixels))
    whole = take_overview(slide, step_px=4).pixels
    assert np.array_equal(whole, halved(halved(pixels)))
    monkeypatch.setattr(module, "_BLOCK_LEVEL_PX", 50)
    assert np.array_equal(take_overview(slide, step_px=4).pixels, whole)


def test_only_the_damaged_part_of_an_overview_is_marked(tmp_path):
    pixels = paint(1280, 640)
    path = write_slide(tmp_path / "a.tif", pixels, levels=1)
    damage(path, tile_index=1)
    overview = take_overview(open_slide(path), step_px=4)
    assert overview.is_unreadable[:32, 32:64].all()
    assert overview.is_unreadable.sum() <= 4 * 32 * 32
    good = ~overview.is_unreadable
    assert np.abs(overview.pixels[good].astype(int) - halved(halved(pixels))[good]).max() <= 1  # rounded twice there


def spoil(path, *, level, tiles=None):
    """Overwrites the compressed bytes of some tiles of a level, or of all."""
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[level]
        places = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    data = bytearray(path.read_bytes())
    for index in range(len(places)) if tiles is None else tiles:
        offset, count = places[index]
        data[offset : offset + count] = b"\xff" * count
    path.write_bytes(bytes(data))


def test_a_damaged_place_of_a_coarser_level_is_made_from_the_finer_one(tmp_path):
    pixels = paint(1280, 640)
    path = write_slide(tmp_path / "a.tif", pixels, levels=3)
    spoil(path, level=2, tiles=[1])
    overview = take_overview(open_slide(path), step_px=4)
    assert not overview.is_unreadable.any()
    assert np.abs(overview.pixels.astype(int) - halved(halved(pixels))).max() <= 1
    assert {(lost.error.level, lost.made_from) for lost in overview.lost} == {(2, 1)}
    assert all(lost.error.xy[0] < 256 * 4 and lost.error.xy[0] + lost.size_px[0] > 128 * 4 for lost in overview.lost)
    assert overview.left_for is None


@pytest.mark.parametrize("reader", ["auto", "openslide"])
def test_a_tile_that_a_coarser_level_has_lost_is_made_from_the_finer_one(tmp_path, reader):
    pixels = paint(1280, 1024)
    path = write_slide(tmp_path / "a.tif", pixels, levels=3)
    lose(path, level=2, tiles=(1, 4))
    lose(path, level=1, tiles=(2,))
    overview = take_overview(open_slide(path, reader=reader), step_px=4)
    assert not overview.is_unreadable.any()
    assert np.abs(overview.pixels.astype(int) - halved(halved(pixels))).max() <= 1
    assert {(lost.error.level, lost.made_from) for lost in overview.lost} == {(2, 1), (2, 0)}
    assert all("is missing, and a finer level has data there" in str(lost.error) for lost in overview.lost)


@pytest.mark.parametrize("reader", ["auto", "openslide"])
def test_a_level_damaged_throughout_is_left_for_the_finer_one(tmp_path, monkeypatch, reader):
    monkeypatch.setattr(module, "_PATIENCE", 8)
    pixels = paint(2560, 2048)
    path = write_slide(tmp_path / "a.tif", pixels, levels=3)
    slide = open_slide(path, reader=reader)
    spoil(path, level=2)
    overview = take_overview(slide, step_px=4)
    assert overview.left_for == 1
    assert not overview.is_unreadable.any()
    assert np.abs(overview.pixels.astype(int) - halved(halved(pixels))).max() <= 1
    assert len(overview.lost) < 2 * module._PATIENCE


def test_a_slide_damaged_throughout_ends_soon_and_is_marked_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_PATIENCE", 8)
    path = write_slide(tmp_path / "a.tif", paint(1024, 1024, tissue=(0, 0, 1, 1)), levels=1)
    slide = open_slide(path)
    slide._cache.clear()
    spoil(path, level=0)
    reads = []
    plain = slide.read
    slide.read = lambda *args, **kwargs: reads.append(1) or plain(*args, **kwargs)
    overview = take_overview(slide, step_px=1)
    assert overview.is_unreadable.all()
    assert len(reads) < 16 * module._PATIENCE  # of 4,096 blocks of the smallest size


def test_the_overview_of_a_vast_slide_has_larger_steps():
    assert bounded_step(8.0, (100_000, 80_000)) == pytest.approx((8e9 / module.MOST_PX) ** 0.5)
    assert bounded_step(16.0, (100_000, 80_000)) == 16.0
