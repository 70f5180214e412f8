from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import tifffile
from PIL import Image

from hdgan.slides.codecs import Codec
from hdgan.slides.inspect import inspect_slides

from .painting import paint, write_coded, write_slide

DATA = os.environ.get("HDGAN_DATA")


def test_good_and_bad_slides_get_one_line_each(tmp_path):
    write_slide(tmp_path / "good.tif", paint())
    write_slide(tmp_path / "loose.tif", paint(), mpp=None)
    (tmp_path / "bad.svs").write_bytes(b"nothing")
    bad, good, loose = inspect_slides([str(tmp_path)], base=tmp_path)
    assert (good.size_px, good.size_mm, good.problem) == ((640, 512), pytest.approx((0.32, 0.256)), "")
    assert good.downsamples == (1, 2, 4)
    assert "is a text file, not a slide" in bad.problem
    assert bad.size_mm is None
    assert "--mpp" in loose.problem


def test_a_scale_given_for_all_mends_the_slide_without_one(tmp_path):
    write_slide(tmp_path / "loose.tif", paint(), mpp=None)
    (report,) = inspect_slides([str(tmp_path)], base=tmp_path, slide_mpp=0.4)
    assert (report.mpp, report.problem) == (0.4, "")


def test_the_report_says_which_reader_was_chosen_and_why(tmp_path):
    write_slide(tmp_path / "a.tif", paint())
    write_coded(tmp_path / "b.svs", paint(512, 512), codec="jpeg 4:2:0", is_aperio=True)
    tifffile.imwrite(tmp_path / "c.tif", paint(256, 256), tile=(128, 128), photometric="rgb", compression="zstd", metadata=None)
    Image.fromarray(paint(64, 64)).save(tmp_path / "d.png")
    names = ("a.tif", "b.svs", "c.tif", "d.png")
    plain, aperio, foreign, image = inspect_slides([str(tmp_path / name) for name in names], base=tmp_path)
    assert (plain.reader, plain.objective) == ("direct", None)
    assert re.fullmatch(r"pixels equal to OpenSlide's at \d+ places on 3 levels", plain.reason)
    assert (aperio.vendor, aperio.reader, aperio.objective) == ("aperio", "direct", 40)
    assert foreign.reader == "openslide"
    assert "compression 50000" in foreign.reason
    assert (image.reader, image.reason) == ("image", "")


def test_a_slide_whose_pixels_differ_says_by_how_much(tmp_path, monkeypatch):
    decode = Codec.decode
    monkeypatch.setattr(Codec, "decode", lambda self, data, *, out: decode(self, data, out=out) ^ 3)
    write_slide(tmp_path / "a.tif", paint())
    (report,) = inspect_slides([str(tmp_path)], base=tmp_path)
    assert report.reader == "openslide"
    assert report.reason.startswith("direct decoding differs by up to 3 grey levels at x ")


@pytest.mark.skipif(not DATA, reason="HDGAN_DATA is not set")
def test_every_real_slide_opens_or_is_refused_with_a_line():
    reports = {report.path.name: report for report in inspect_slides(["slides", "kidney/slides"], base=Path(DATA))}
    assert reports["biopsy-a.tif"].size_px == (5120, 16384)
    assert reports["biopsy-a.tif"].mpp == 0.5
    assert reports["CMU-1-Small-Region.svs"].vendor == "aperio"
    assert {name for name, report in reports.items() if report.problem} == {"broken.svs", "tcga-cr-7395-01a-01-ts1.svs"}
