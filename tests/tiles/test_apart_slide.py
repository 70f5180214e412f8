"""A slide that another process reads is the slide that this one would read, and a decoder that crashes or hangs there is one line."""

from __future__ import annotations

import os
from contextlib import closing

import numpy as np
import pytest

from hdgan.errors import BadInput
from hdgan.slides.reader import open_slide
from hdgan.tiles import apart
from hdgan.tiles.apart import ApartSlide, Header
from tests.slides.jpeg_painting import write_jpeg_slide
from tests.slides.painting import damage, paint, write_slide
from tests.tiles import faults

from .test_pool import has_ended


@pytest.fixture(params=["jpeg.svs", "plain.tif"])
def path(request, tmp_path):
    write = write_jpeg_slide if request.param.startswith("jpeg") else write_slide
    return write(tmp_path / request.param, paint(seed=3))


def test_header_and_pixels_are_those_of_a_slide_that_is_opened_here(path):
    with closing(ApartSlide(path)) as ours, closing(open_slide(path)) as here:
        assert all(getattr(ours, name) == getattr(here, name) for name in Header.__dataclass_fields__)
        for xy, level0_size, out_px in (((0, 0), 128, 128), ((37, 91), 200, 100), ((300, 10), (256, 128), (100, 50)), ((600, 480), 80, 40)):
            region = {"level0_size": level0_size, "out_px": out_px}
            assert np.array_equal(ours.read(xy, **region), here.read(xy, **region))


def test_a_scale_that_is_given_goes_before_that_of_the_file(path):
    with closing(ApartSlide(path, mpp_override=0.3)) as slide:
        assert slide.mpp == 0.3


def test_it_is_another_process_that_reads_and_it_ends_with_the_slide(path, tmp_path, monkeypatch):
    monkeypatch.setattr(apart, "read_region", tell_reader)
    with closing(ApartSlide(path)) as slide:
        for _ in range(2):
            slide.read((0, 0), level0_size=64, out_px=64)
        (reader,) = (int(found.name.split("-")[1]) for found in tmp_path.glob("reader-*"))
        assert reader != os.getpid()
    assert has_ended(reader)


def tell_reader(path, *arguments, progress):
    (path.parent / f"reader-{os.getpid()}").touch()
    return faults.read_region(path, *arguments, progress=progress)


def test_what_cannot_be_opened_or_decoded_is_said_as_here_and_the_rest_can_be_read(tmp_path):
    with pytest.raises(BadInput, match=r"gone\.svs: no such file"):
        ApartSlide(tmp_path / "gone.svs")
    path = write_slide(tmp_path / "a.tif", paint(), levels=1)
    damage(path, tile_index=0)
    with closing(ApartSlide(path)) as slide, closing(open_slide(path)) as here:
        said = []
        for reader in (slide, here):
            with pytest.raises(BadInput, match="cannot be decoded") as error:
                reader.read((0, 0), level0_size=64, out_px=64)
            said.append(str(error.value))
        assert said[0] == said[1]
        assert slide.read((256, 256), level0_size=64, out_px=64).shape == (64, 64, 3)


def test_a_reader_that_crashes_is_a_line_that_speaks_of_the_slide_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(apart, "read_region", faults.read_region_but_for_bad)
    with closing(ApartSlide(write_slide(tmp_path / "bad.tif", paint()))) as slide:
        with pytest.raises(BadInput) as error:
            slide.read((0, 0), level0_size=64, out_px=64)
        said = str(error.value)
    assert f"{tmp_path / 'bad.tif'}: the process that read it was ended by signal 11 (SIGSEGV), 2 times; convert the slide" in said
    assert "\n" not in said
    assert "broken_slides" not in said


def test_a_reader_that_hangs_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(apart, "describe_slide", faults.describe_but_for_hung)
    with pytest.raises(BadInput, match=r"hung\.tif: the process that read it made no progress for 1 s and was ended, 2 times"):
        ApartSlide(write_slide(tmp_path / "hung.tif", paint()), max_silence_s=1)
