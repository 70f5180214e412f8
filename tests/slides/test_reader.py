from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from hdgan.errors import BadInput
from hdgan.slides.protocol import Level, best_level
from hdgan.slides.reader import known_mpp, open_slide

from .painting import damage, halved, paint, write_slide


@pytest.fixture
def painted(tmp_path):
    pixels = paint()
    return write_slide(tmp_path / "a.tif", pixels), pixels


def test_a_pyramid_states_size_scale_and_levels(painted):
    slide = open_slide(painted[0])
    assert (slide.size_px, slide.vendor, slide.mpp) == ((640, 512), "generic-tiff", pytest.approx(0.5))
    assert [level.downsample for level in slide.levels] == [1, 2, 4]


def test_level_0_is_read_as_it_is_stored(painted):
    path, pixels = painted
    region = open_slide(path).read((37, 101), level0_size=(200, 90), out_px=(200, 90))
    assert np.array_equal(region, pixels[101:191, 37:237])


def test_a_scale_that_is_a_level_is_read_from_it_unchanged(painted):
    path, pixels = painted
    region = open_slide(path).read((40, 80), level0_size=256, out_px=64)
    assert np.array_equal(region, halved(halved(pixels))[20:84, 10:74])


def test_a_scale_between_levels_is_averaged_from_the_finer_one(painted):
    path, pixels = painted
    region = open_slide(path).read((0, 0), level0_size=(300, 240), out_px=(100, 80))
    level = halved(pixels)[:120, :150].repeat(2, axis=0).repeat(2, axis=1)
    assert np.abs(region - level.reshape(80, 3, 100, 3, 3).mean(axis=(1, 3))).max() <= 0.5 + 1e-3


def test_a_plain_image_reads_like_a_pyramid(tmp_path):
    pixels = paint(300, 200)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    image = open_slide(tmp_path / "a.png", mpp_override=0.5)
    tiff = open_slide(write_slide(tmp_path / "a.tif", pixels, levels=1))
    for xy, size, out in [((0, 0), 128, 64), ((-20, 150), (100, 90), (50, 45)), ((33, 21), (170, 111), (100, 70))]:
        assert np.array_equal(image.read(xy, level0_size=size, out_px=out), tiff.read(xy, level0_size=size, out_px=out))


def test_outside_the_slide_is_white(painted):
    region = open_slide(painted[0]).read((600, 500), level0_size=80, out_px=80)
    assert (region[12:] == 255).all()
    assert (region[:, 40:] == 255).all()
    assert (region[:12, :40] < 255).all()


def test_transparent_pixels_become_white(tmp_path):
    rgba = np.zeros((10, 10, 4), np.uint8)
    rgba[:, 5:] = (10, 20, 30, 255)
    Image.fromarray(rgba).save(tmp_path / "a.png")
    region = open_slide(tmp_path / "a.png").read((0, 0), level0_size=10, out_px=10)
    assert (region[:, :5] == 255).all()
    assert (region[:, 5:] == (10, 20, 30)).all()


def test_more_pixels_than_there_are_is_refused(painted):
    with pytest.raises(BadInput, match="no upsampling"):
        open_slide(painted[0]).read((0, 0), level0_size=100, out_px=101)


def test_a_damaged_region_is_refused_and_the_next_one_is_read(painted):
    path, pixels = painted
    damage(path, tile_index=0)
    slide = open_slide(path)
    with pytest.raises(BadInput, match=r"x 10, y 10 .* cannot be decoded"):
        slide.read((10, 10), level0_size=64, out_px=64)
    assert np.array_equal(slide.read((300, 300), level0_size=64, out_px=64), pixels[300:364, 300:364])


def test_a_given_scale_goes_before_the_stated_one(painted):
    assert open_slide(painted[0], mpp_override=0.25).mpp == 0.25


def test_a_slide_without_scale_is_refused_with_the_ways_to_give_one(tmp_path):
    slide = open_slide(write_slide(tmp_path / "a.tif", paint(), mpp=None))
    assert slide.mpp is None
    assert known_mpp(slide, fallback=0.3) == 0.3
    with pytest.raises(BadInput, match=r"a\.tif: does not state its scale.*column `mpp`.*--mpp"):
        known_mpp(slide)


@pytest.mark.parametrize("dpi", [72, 96, 100, 150, 200, 300, 400, 600, 1200, 2400])
@pytest.mark.parametrize("unit", ["INCH", "CENTIMETER"])
def test_a_resolution_of_print_is_no_scale(tmp_path, dpi, unit):
    dots = dpi if unit == "INCH" else round(dpi / 2.54)
    options = {"tile": (64, 64), "photometric": "rgb", "metadata": None}
    tifffile.imwrite(tmp_path / "a.tif", paint(128, 128), resolution=(dots, dots), resolutionunit=unit, **options)
    slide = open_slide(tmp_path / "a.tif")
    assert (slide.vendor, slide.mpp) == ("generic-tiff", None)
    assert known_mpp(slide, fallback=0.3) == 0.3
    assert open_slide(tmp_path / "a.tif", mpp_override=25400 / dpi).mpp == 25400 / dpi


@pytest.mark.parametrize("mpp", [0.1, 1.0, 8.0, 10.0, 16.0, 20.0, 50.0])
def test_a_coarse_scale_that_is_none_of_print_is_believed(tmp_path, mpp):
    assert open_slide(write_slide(tmp_path / "a.tif", paint(128, 128), mpp=mpp, levels=1)).mpp == pytest.approx(mpp)


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.svs", b"II*\0garbage"), ("a.png", b"\x89PNG\r\n\x1a\nxx"), ("a.tif", b"text"), ("a.jpg", b""), ("a.txt", b"text")],
)
def test_a_damaged_or_foreign_file_is_refused_by_name(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput) as caught:
        open_slide(tmp_path / name)
    assert str(caught.value).startswith(str(tmp_path / name))
    assert "\n" not in str(caught.value)


def test_a_truncated_image_is_refused_when_it_is_read(tmp_path):
    Image.fromarray(paint()).save(tmp_path / "a.jpg")
    data = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(data[: len(data) // 2])
    with pytest.raises(BadInput, match="cannot be decoded"):
        open_slide(tmp_path / "a.jpg").read((0, 0), level0_size=10, out_px=10)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(BadInput, match="no such file"):
        open_slide(tmp_path / "none.svs")
    with pytest.raises(BadInput, match="is a folder"):
        open_slide(tmp_path)


def test_a_slide_that_may_not_be_read_is_not_taken_for_a_damaged_one(tmp_path, monkeypatch):
    path = tmp_path / "a.tif"
    path.write_bytes(b"II*")

    def denied(self):
        raise PermissionError(13, "Permission denied", str(self))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "is_file", denied)
        with pytest.raises(BadInput, match="lies in a folder that you may not read; ask whoever owns it"):
            open_slide(path)
    monkeypatch.setattr(os, "access", lambda _path, mode: mode != os.R_OK)
    with pytest.raises(BadInput, match="is a file that you may not read; ask whoever owns it"):
        open_slide(path)


def test_a_16_bit_image_is_refused_because_its_values_would_be_cut(tmp_path):
    Image.fromarray(np.full((8, 8), 900, np.uint16)).save(tmp_path / "a.png")
    with pytest.raises(BadInput, match="mode I;16"):
        open_slide(tmp_path / "a.png")


def test_an_impossible_scale_is_refused(painted):
    with pytest.raises(BadInput, match="impossible"):
        open_slide(painted[0], mpp_override=-1.0)


def test_the_level_is_the_coarsest_that_is_fine_enough():
    levels = tuple(Level((1, 1), factor) for factor in (1.0, 2.0005, 4.01, 16.0))
    assert [best_level(levels, ratio) for ratio in (1.0, 1.9, 2.0, 4.0, 15.9, 100.0)] == [0, 0, 1, 1, 2, 3]
