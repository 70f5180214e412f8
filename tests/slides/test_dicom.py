from __future__ import annotations

import pytest

from hdgan.slides.dicom import series_files, series_of
from hdgan.slides.reader import open_slide

from .dicom_painting import EXPLICIT, IMPLICIT, dicom_file, element, item, write_series
from .painting import paint


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
@pytest.mark.parametrize("is_open", [False, True])
def test_the_series_is_found_behind_nested_sequences_that_hold_others(tmp_path, syntax, is_open):
    other = element(0x20, 0xE, "UI", "9.9.9", syntax=syntax)
    deep = element(8, 0x1140, "SQ", item(other, is_open=is_open), syntax=syntax, is_open=is_open)
    outer = element(8, 0x1115, "SQ", item(deep + other, is_open=is_open), syntax=syntax, is_open=is_open)
    private = element(9, 0x10, "OB", bytes(70_000), syntax=syntax)
    own = element(0x20, 0xE, "UI", "1.2.345", syntax=syntax)
    (tmp_path / "a").write_bytes(dicom_file(outer + private + own, syntax=syntax))
    assert series_of(tmp_path / "a") == "1.2.345"


def test_what_is_of_unknown_kind_and_open_end_names_no_kinds_inside(tmp_path):
    inside = item(element(9, 0x1001, "UI", "9.9", syntax=IMPLICIT), is_open=True)
    unknown = element(9, 0x1000, "UN", inside, is_open=True)
    (tmp_path / "a").write_bytes(dicom_file(unknown + element(0x20, 0xE, "UI", "1.2.3"), syntax=EXPLICIT))
    assert series_of(tmp_path / "a") == "1.2.3"


def test_a_file_that_ends_early_is_of_no_series(tmp_path):
    whole = dicom_file(element(8, 8, "CS", "x" * 40) + element(0x20, 0xE, "UI", "1.2.3"), syntax=EXPLICIT)
    for kept in (0, 100, *range(128, len(whole))):
        (tmp_path / f"{kept}.dcm").write_bytes(whole[:kept])
        assert series_of(tmp_path / f"{kept}.dcm") == ""
    (tmp_path / "whole.dcm").write_bytes(whole)
    assert series_of(tmp_path / "whole.dcm") == "1.2.3"


def test_other_files_and_headers_without_the_number_are_of_no_series(tmp_path):
    (tmp_path / "a.svs").write_bytes(b"II*\0" + bytes(300))
    (tmp_path / "b.dcm").write_bytes(dicom_file(element(0x20, 0x11, "IS", "1"), syntax=EXPLICIT))
    (tmp_path / "c.dcm").write_bytes(bytes(128) + b"DICM" + b"\xff" * 500)
    assert [series_of(tmp_path / name) for name in ("a.svs", "b.dcm", "c.dcm", "none.dcm")] == ["", "", "", ""]
    assert series_files(tmp_path / "a.svs") == []


def test_the_files_of_a_series_are_those_that_openslide_opens_together(tmp_path):
    written = write_series(tmp_path, paint(), names=("z.dcm", "level 1", "0002"))
    write_series(tmp_path, paint(seed=1), names=("other.dcm",), series="1.2.4")
    (tmp_path / "notes.txt").write_text("x")
    assert all(series_files(path) == sorted(written) for path in written)
    assert [level.size_px for level in open_slide(written[2]).levels] == [(640, 512), (320, 256), (160, 128)]


def test_a_file_that_is_written_anew_is_read_anew(tmp_path):
    for series in ("1.2.3", "1.2.3.45"):
        (path,) = write_series(tmp_path, paint(64, 64), names=("a.dcm",), series=series)
        assert series_of(path) == series
