from __future__ import annotations

import errno
import logging
import os
from pathlib import Path

import numpy as np
import pytest
import tifffile

from hdgan.errors import BadInput
from hdgan.slides import codecs, direct, probe
from hdgan.slides.inspect import inspect_slides
from hdgan.slides.reader import open_slide

from .painting import damage, paint, write_coded, write_slide

DATA = os.environ.get("HDGAN_DATA")


def test_equal_pixels_choose_the_direct_reader_and_say_where_they_were_compared(tmp_path):
    slide = open_slide(write_slide(tmp_path / "a.tif", paint()))
    assert slide.reader == "direct"
    assert slide.reason == "pixels equal to OpenSlide's at 8 places on 3 levels"


def test_why_a_slide_is_left_to_openslide_names_no_file(tmp_path, monkeypatch):
    """Reasons stand in `status.json` and `provenance.json`, also of runs with pseudonyms."""

    def refusing(path, flags):
        raise OSError(errno.EMFILE, "Too many open files", str(path))

    path = write_slide(tmp_path / "Jane Doe.tif", paint())
    monkeypatch.setattr(direct.os, "open", refusing)
    slide = open_slide(path)
    assert (slide.reader, slide.reason) == ("openslide", "it could not be opened a second time")


def test_one_grey_level_of_difference_leaves_the_slide_to_openslide(tmp_path, monkeypatch):
    real = codecs.Codec.decode

    def off_by_one(self, data, *, out):
        pixels = real(self, data, out=out).copy()
        pixels[5, 5] ^= 1
        return pixels

    monkeypatch.setattr(codecs.Codec, "decode", off_by_one)
    path = write_slide(tmp_path / "a.tif", paint())
    slide = open_slide(path)
    assert slide.reader == "openslide"
    assert "differs by up to 1 grey levels at x" in slide.reason
    assert slide.read((0, 0), level0_size=64, out_px=64).shape == (64, 64, 3)


def test_a_tile_that_fails_directly_leaves_the_slide_to_openslide(tmp_path, monkeypatch):
    def fail(self, data, *, out):
        raise codecs.DamagedTileError("no")

    monkeypatch.setattr(codecs.Codec, "decode", fail)
    slide = open_slide(write_slide(tmp_path / "a.tif", paint()))
    assert (slide.reader, slide.reason.split(" at ")[0]) == ("openslide", "direct decoding fails")


def test_a_slide_with_damage_in_every_probed_place_still_opens(tmp_path):
    path = write_slide(tmp_path / "a.tif", paint(300, 300), levels=1)
    for index in range(9):
        damage(path, tile_index=index)
    slide = open_slide(path)
    assert (slide.reader, slide.reason) == ("openslide", "OpenSlide decodes no probed place of level 0")


def test_asked_for_openslide_reads_without_a_probe(tmp_path, monkeypatch):
    monkeypatch.setattr(probe, "suited", lambda _: pytest.fail("probed"))
    slide = open_slide(write_slide(tmp_path / "a.tif", paint()), reader="openslide")
    assert (slide.reader, slide.reason) == ("openslide", "asked for")


def test_a_structure_that_tifffile_stumbles_over_is_left_to_openslide(tmp_path, monkeypatch):
    def stumble(path):
        raise RecursionError("deep")

    path = write_slide(tmp_path / "a.tif", paint())
    monkeypatch.setattr("hdgan.slides.tiff.tifffile.TiffFile", stumble)
    slide = open_slide(path)
    assert (slide.reader, slide.reason) == ("openslide", "its structure cannot be read by tifffile (RecursionError)")


@pytest.mark.parametrize(
    ("options", "reason"),
    [({"compression": "zstd"}, "compression 50000"), ({"planarconfig": "separate", "compression": "zlib"}, "three interleaved bytes")],
)
def test_other_ways_to_store_a_tile_are_left_to_openslide(tmp_path, options, reason):
    pixels = paint(256, 256)
    pixels = np.moveaxis(pixels, -1, 0).copy() if "planarconfig" in options else pixels
    tifffile.imwrite(tmp_path / "a.tif", pixels, tile=(128, 128), photometric="rgb", metadata=None, **options)
    slide = open_slide(tmp_path / "a.tif")
    assert slide.reader == "openslide"
    assert reason in slide.reason


def test_two_pages_of_the_size_of_a_level_are_left_to_openslide(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for seed in (0, 1):
            writer.write(paint(256, 256, seed=seed), tile=(128, 128), photometric="rgb", metadata=None, subfiletype=1 if seed else 0)
    slide = open_slide(tmp_path / "a.tif")
    assert slide.reader == "openslide"
    assert "2 tiled pages" in slide.reason


def test_missing_tiles_of_a_coarser_aperio_level_are_left_to_openslide(tmp_path):
    path = write_coded(tmp_path / "a.svs", paint(512, 512), codec="stored", is_aperio=True)
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tag = tiff.pages[1].tags["TileByteCounts"]
        tag.overwrite((0, *tag.value[1:]))
    slide = open_slide(path)
    assert slide.reader == "openslide"
    assert "coarser level are missing" in slide.reason


def test_what_tifffile_would_log_of_a_files_text_is_not_logged(tmp_path, caplog):
    path = write_coded(tmp_path / "a.tif", paint(256, 256), codec="stored", levels=1)
    path.write_bytes(path.read_bytes().replace(b"painted", b"Canary\xff"))
    with caplog.at_level(logging.DEBUG):
        slide = open_slide(path)
    assert slide.reader == "direct"
    assert "Canary" not in caplog.text


@pytest.mark.skipif(not DATA, reason="HDGAN_DATA is not set")
def test_every_real_slide_has_a_reader_with_a_reason_or_a_line_of_refusal():
    reports = {report.path.name: report for report in inspect_slides(["slides", "kidney/slides"], base=Path(DATA), slide_mpp=0.25)}
    files = {path.name for path in (Path(DATA) / "slides").iterdir()}
    assert files <= reports.keys()
    assert {name for name, report in reports.items() if report.reader == "direct"} == {
        "biopsy-a.tif",
        "CMU-1-Small-Region.svs",
        "tcga-cr-7395-01a-01-ts1.svs",
    }
    assert reports["multi_frame_jpeg_camelyon_challenge_image.dcm"].reason == "dicom slides are left to OpenSlide"
    assert reports["orbit_test3_TRITC.ndpi"].reason == "hamamatsu slides are left to OpenSlide"
    assert (reports["CMU-1-Small-Region.svs"].objective, reports["orbit_test3_TRITC.ndpi"].objective) == (20, 40)
    assert "is a text file, not a slide" in reports["broken.svs"].problem
    assert "\n" not in reports["broken.svs"].problem


def test_damage_that_only_the_direct_reader_sees_speaks_for_it(tmp_path):
    path = write_coded(tmp_path / "a.tif", paint(512, 512, tissue=(0, 0, 1, 1)), codec="deflate", levels=1)
    with tifffile.TiffFile(path) as tiff:
        counts = tiff.pages[0].databytecounts
        largest = max(range(len(counts)), key=counts.__getitem__)  # one of the probed places
        offset = tiff.pages[0].dataoffsets[largest]
    data = bytearray(path.read_bytes())
    middle = offset + counts[largest] // 2
    data[middle : middle + 300] = bytes(300)
    path.write_bytes(bytes(data))
    slide = open_slide(path)
    assert slide.reader == "direct"
    assert slide.reason.endswith("1 more hold damage that OpenSlide does not see")
    plain, corner = open_slide(path, reader="openslide"), (largest % 4 * 128, largest // 4 * 128)
    plain.read(corner, level0_size=128, out_px=128)  # without a word
    with pytest.raises(BadInput, match="cannot be decoded"):
        slide.read(corner, level0_size=128, out_px=128)


def test_a_list_of_tiles_that_does_not_fit_the_size_is_refused(tmp_path):
    path = write_coded(tmp_path / "a.tif", paint(512, 512), codec="jpeg 4:2:0", levels=1)
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tiff:
        place = tiff.pages[0].tags["ImageLength"].offset + 8
    data[place : place + 4] = (5120).to_bytes(4, "little")
    path.write_bytes(bytes(data))
    with pytest.raises(BadInput, match=r"has a damaged header: its level of 512 x 5120 px lists 16 tiles, and needs 160; copy it again"):
        open_slide(path)


def test_a_file_is_compared_once_until_it_is_changed(tmp_path, monkeypatch):
    compared = []
    compare = probe.compare
    monkeypatch.setattr(probe, "compare", lambda direct, slide: compared.append(slide.path) or compare(direct, slide))
    path = write_slide(tmp_path / "a.tif", paint())
    reasons = {open_slide(path).reason for _ in range(3)}
    assert len(reasons) == len(compared) == 1
    write_slide(path, paint(seed=1))
    open_slide(path)
    assert len(compared) == 2
