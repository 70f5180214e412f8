from __future__ import annotations

import io

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from hdgan.store.codec import LOSSLESS, SUFFIXES, UNDECODABLE, decode, encode, format_of, stem
from hdgan.store.jpeg_tiff import JpegLayout, jpeg_tiff


def picture(seed: int, height: int = 24, width: int = 24) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("form", ["png", "jxl"])
@settings(max_examples=25)
@given(seed=st.integers(0, 9999), size=st.tuples(st.integers(1, 70), st.integers(1, 70)))
def test_lossless_formats_give_every_pixel_back_and_equal_bytes(form, seed, size):
    pixels = picture(seed, *size)
    data = encode(pixels, form)
    assert np.array_equal(decode(data, form), pixels)
    assert encode(pixels.copy(), form) == data


@pytest.mark.parametrize(("seed", "height", "width"), [(225, 11, 22), (187, 63, 64), (1052, 18, 18)])
def test_noise_that_the_fastest_effort_of_jpeg_xl_changes_is_kept_whole(seed, height, width):
    pixels = picture(seed, height, width)
    assert np.array_equal(decode(encode(pixels, "jxl"), "jxl"), pixels)


def test_jpeg_is_close_and_not_subsampled():
    smooth = np.asarray(Image.fromarray(picture(1, 4, 4)).resize((64, 64), Image.Resampling.BICUBIC))
    data = encode(smooth, "jpeg", jpeg_quality=95)
    assert np.abs(decode(data, "jpeg").astype(int) - smooth).mean() < 2
    with Image.open(io.BytesIO(data)) as image:
        assert image.layer[0][1:3] == image.layer[1][1:3] == (1, 1)
    assert len(encode(smooth, "jpeg", jpeg_quality=60)) < len(data)


def test_nothing_is_stored_of_a_tile_of_format_none():
    assert encode(picture(0), "none") == b""


@pytest.mark.parametrize("form", SUFFIXES)
def test_the_name_says_the_format(form):
    name = f"a.b_x000100_y000200{SUFFIXES[form]}"
    assert format_of(name) == form
    assert stem(name) == "a.b_x000100_y000200"
    assert (form in LOSSLESS) == (form != "jpeg")


@pytest.mark.parametrize("form", ["png", "jxl", "jpeg", "raw"])
def test_damaged_bytes_are_told_by_one_of_the_errors_named_or_give_a_picture(form):
    whole = tiff_of(picture(3, 32, 32)) if form == "raw" else encode(picture(3, 32, 32), form)
    draw, told = np.random.default_rng(0), 0
    for _ in range(60):
        data = bytearray(whole)
        data[int(draw.integers(len(data)))] ^= 1 << int(draw.integers(8))
        try:
            assert decode(bytes(data[: int(draw.integers(len(data))) + 1]), form).ndim == 3
        except UNDECODABLE:
            told += 1
    assert told > 20


def tiff_of(pixels: np.ndarray, *, tile: int = 16, size_px: int = 32) -> bytes:
    streams = [
        imagecodecs.jpeg8_encode(pixels[y : y + tile, x : x + tile], level=95, subsampling="444", colorspace="rgb", outcolorspace="ycbcr")
        for y in range(0, pixels.shape[0], tile)
        for x in range(0, pixels.shape[1], tile)
    ]
    return jpeg_tiff(streams, size_px=size_px, layout=JpegLayout((tile, tile), photometric=6, subsampling=(1, 1)))


@pytest.mark.parametrize("size_px", [32, 27, 17])
def test_a_tiff_around_jpeg_streams_reads_the_same_in_tifffile_and_pillow(size_px):
    pixels = picture(5, 32, 32)
    data = tiff_of(pixels, size_px=size_px)
    expected = np.concatenate([np.concatenate([decode_jpeg(pixels[y : y + 16, x : x + 16]) for x in (0, 16)], axis=1) for y in (0, 16)])[
        :size_px, :size_px
    ]
    assert np.array_equal(decode(data, "raw"), expected)
    with Image.open(io.BytesIO(data)) as image:
        assert np.array_equal(np.asarray(image.convert("RGB")), expected)


def decode_jpeg(pixels: np.ndarray) -> np.ndarray:
    data = imagecodecs.jpeg8_encode(pixels, level=95, subsampling="444", colorspace="rgb", outcolorspace="ycbcr")
    return imagecodecs.jpeg8_decode(data)


def test_a_wrong_number_of_streams_is_refused():
    with pytest.raises(ValueError, match="3 tiles for 2 x 2"):
        jpeg_tiff([b"x"] * 3, size_px=32, layout=JpegLayout((16, 16), photometric=6))
