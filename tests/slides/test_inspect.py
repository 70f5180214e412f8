from __future__ import annotations

import os
from pathlib import Path

import pytest

from hdgan.slides.inspect import inspect_slides

from .painting import paint, write_slide

DATA = os.environ.get("HDGAN_DATA")


def test_good_and_bad_slides_get_one_line_each(tmp_path):
    write_slide(tmp_path / "good.tif", paint())
    write_slide(tmp_path / "loose.tif", paint(), mpp=None)
    (tmp_path / "bad.svs").write_bytes(b"nothing")
    bad, good, loose = inspect_slides([str(tmp_path)], base=tmp_path)
    assert (good.size_px, good.size_mm, good.problem) == ((640, 512), pytest.approx((0.32, 0.256)), "")
    assert good.downsamples == (1, 2, 4)
    assert "damaged" in bad.problem
    assert bad.size_mm is None
    assert "--mpp" in loose.problem


def test_a_scale_given_for_all_mends_the_slide_without_one(tmp_path):
    write_slide(tmp_path / "loose.tif", paint(), mpp=None)
    (report,) = inspect_slides([str(tmp_path)], base=tmp_path, slide_mpp=0.4)
    assert (report.mpp, report.problem) == (0.4, "")


@pytest.mark.skipif(not DATA, reason="HDGAN_DATA is not set")
def test_every_real_slide_opens_or_is_refused_with_a_line():
    reports = {report.path.name: report for report in inspect_slides(["slides", "kidney/slides"], base=Path(DATA))}
    assert reports["biopsy-a.tif"].size_px == (5120, 16384)
    assert reports["biopsy-a.tif"].mpp == 0.5
    assert reports["CMU-1-Small-Region.svs"].vendor == "aperio"
    assert {name for name, report in reports.items() if report.problem} == {"broken.svs", "tcga-cr-7395-01a-01-ts1.svs"}
