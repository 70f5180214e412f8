from __future__ import annotations

import numpy as np
import pytest
import tifffile
from PIL import Image

from hdgan.errors import BadInput
from hdgan.slides.reader import open_slide
from hdgan.slides.second import cross_check, second_reader

from .painting import damage, paint, write_coded, write_slide

REGION = {"level0_size": 100, "out_px": 100}


def overwrite(path, *, tile_index, content):
    """Puts `content` into the middle of a compressed tile of level 0."""
    with tifffile.TiffFile(path) as tiff:
        offset, count = tiff.pages[0].dataoffsets[tile_index], tiff.pages[0].databytecounts[tile_index]
    data = bytearray(path.read_bytes())
    start = offset + count // 2
    assert count // 2 > len(content)
    data[start : start + len(content)] = content
    path.write_bytes(bytes(data))


def test_each_reader_is_the_others_second(tmp_path):
    path = write_slide(tmp_path / "a.tif", paint())
    direct, plain = open_slide(path), open_slide(path, reader="openslide")
    assert (direct.reader, second_reader(direct).reader) == ("direct", "openslide")
    assert (plain.reader, second_reader(plain).reader) == ("openslide", "direct")
    for first in (direct, plain):
        check = cross_check(first, second_reader(first), (60, 70), **REGION)
        assert (check.verdict, check.is_trusted) == ("same", True)


def test_the_second_reader_keeps_a_given_scale(tmp_path):
    slide = open_slide(write_slide(tmp_path / "a.tif", paint()), mpp_override=0.3)
    assert second_reader(slide).mpp == 0.3


def test_a_plain_image_and_an_openslide_format_have_no_second_reader(tmp_path):
    Image.fromarray(paint()).save(tmp_path / "a.png")
    assert second_reader(open_slide(tmp_path / "a.png")) is None
    tifffile.imwrite(tmp_path / "a.tif", paint(256, 256), tile=(128, 128), photometric="rgb", compression="zstd", metadata=None)
    assert second_reader(open_slide(tmp_path / "a.tif")) is None


def test_a_fault_of_the_file_is_told_from_a_fault_of_one_reader(tmp_path, monkeypatch):
    path = write_coded(tmp_path / "a.tif", paint(512, 512, tissue=(0, 0, 1, 1)), codec="deflate", levels=1)
    slide = open_slide(path)
    slide._cache.clear()
    monkeypatch.setattr(slide._file, "read", lambda *_: None)
    check = cross_check(slide, second_reader(slide), (140, 140), **REGION)
    assert (check.verdict, check.is_trusted) == ("first fails", False)
    assert "direct:" in check.detail


def test_zeros_in_a_deflated_tile_are_seen_by_its_checksum(tmp_path):
    path = write_coded(tmp_path / "a.tif", paint(512, 512, tissue=(0, 0, 1, 1)), codec="deflate", levels=1)
    overwrite(path, tile_index=5, content=bytes(300))
    slide = open_slide(path, reader="openslide")
    check = cross_check(second_reader(slide), slide, (140, 140), **REGION)
    assert check.verdict in ("first fails", "both fail")


def test_damage_that_is_valid_jpeg_code_is_wrong_in_both_without_a_word(tmp_path):
    """The limit that the module states: both decode with libjpeg-turbo."""
    path = write_coded(tmp_path / "a.tif", paint(512, 512, tissue=(0, 0, 1, 1)), codec="jpeg 4:2:0", levels=1)
    whole = open_slide(path).read((140, 140), **REGION)
    overwrite(path, tile_index=5, content=bytes(300))
    slide = open_slide(path, reader="openslide")
    assert cross_check(second_reader(slide), slide, (140, 140), **REGION).verdict == "same"
    assert not np.array_equal(slide.read((140, 140), **REGION), whole)


def test_a_region_that_neither_reads_says_both_errors(tmp_path):
    path = write_slide(tmp_path / "a.tif", paint())
    slide = open_slide(path)
    slide._cache.clear()
    damage(path, tile_index=0)
    check = cross_check(slide, second_reader(slide), (10, 10), **REGION)
    assert check.verdict == "both fail"
    assert "direct:" in check.detail
    assert "openslide:" in check.detail


def test_other_pixels_are_a_difference_with_its_size(tmp_path):
    first, second = (open_slide(write_slide(tmp_path / f"{seed}.tif", paint(seed=seed))) for seed in (0, 1))
    check = cross_check(first, second, (100, 100), **REGION)
    assert check.verdict == "differ"
    assert "grey levels" in check.detail


def test_where_openslide_blends_pixels_the_two_are_not_compared(tmp_path):
    slide = open_slide(write_coded(tmp_path / "a.tif", paint(701, 533), codec="stored"))
    second = second_reader(slide)
    assert slide.levels[1].downsample != 2
    far = cross_check(slide, second, (400, 300), level0_size=201, out_px=100)
    assert (far.verdict, far.is_trusted) == ("not comparable", True)
    assert cross_check(slide, second, (0, 0), level0_size=201, out_px=100).verdict == "same"
    assert not np.array_equal(slide.read((400, 300), level0_size=201, out_px=100), second.read((400, 300), level0_size=201, out_px=100))


def test_more_pixels_than_there_are_is_refused(tmp_path):
    slide = open_slide(write_slide(tmp_path / "a.tif", paint()))
    with pytest.raises(BadInput, match="no upsampling"):
        cross_check(slide, second_reader(slide), (0, 0), level0_size=100, out_px=200)
