from __future__ import annotations

import io

import pytest
from PIL import Image

from hdgan.errors import BadInput
from hdgan.slides.foreign import foreign
from hdgan.slides.reader import open_slide

from .painting import paint, write_coded, write_slide


def picture(kind):
    buffer = io.BytesIO()
    Image.fromarray(paint(64, 64)).save(buffer, format=kind)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "line"),
    [
        ("a.svs", picture("PNG"), "is a PNG image, not a slide; give it the suffix .png"),
        ("a.ndpi", picture("JPEG"), "is a JPEG image, not a slide; give it the suffix .jpg"),
        ("a.scn", b"PK\x03\x04" + bytes(100), "is a ZIP archive, not a slide; unpack it"),
        ("a.svs", b"\n <!DOCTYPE html><p>403", "is a web page, not a slide"),
        ("a.svs", bytes(9000), "begins with zeros only: a copy that was never finished"),
        ("a.tif", b"to be copied\n", "is a text file, not a slide"),
        ("a.png", b"to be copied\n", "is a text file, not a slide"),
        ("a.mrxs", picture("JPEG"), "lacks the folder of its data, a, beside it"),
        ("a.vms", b"[Virtual Microscope Specimen]\n", "is no slide that can be read, or it is damaged"),
        ("a.svs", b"\x01\x02\x03" * 50, "is no slide that can be read, or it is damaged"),
        ("a.bmp", b"\x01\x02\x03" * 50, "is no image and no slide of a known kind"),
    ],
)
def test_a_file_that_is_something_else_is_refused_as_what_it_is(tmp_path, name, data, line):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(BadInput) as caught:
        open_slide(tmp_path / name)
    assert line in str(caught.value)
    assert caught.value.remedy


@pytest.mark.parametrize(("suffix", "is_big"), [(".svs", False), (".tif", False), (".tif", True)])
def test_a_slide_that_was_cut_off_is_told_with_both_places(tmp_path, suffix, is_big):
    path = write_coded(tmp_path / f"a{suffix}", paint(), codec="jpeg 4:2:0", is_aperio=suffix == ".svs", is_bigtiff=is_big)
    whole = path.read_bytes()
    assert foreign(path) is None
    for share in (0.2, 0.5):
        path.write_bytes(whole[: int(share * len(whole))])
        assert f"is cut off: it has {int(share * len(whole)):,} bytes, and goes on at byte" in foreign(path).what


def test_an_intact_slide_and_an_intact_image_are_not_foreign(tmp_path):
    assert foreign(write_slide(tmp_path / "a.tif", paint())) is None
    for kind in ("png", "jpg"):
        Image.fromarray(paint(64, 64)).save(tmp_path / f"a.{kind}")
        assert foreign(tmp_path / f"a.{kind}") is None


def test_directories_that_lead_in_a_circle_come_to_an_end(tmp_path):
    path = write_slide(tmp_path / "a.tif", paint(), levels=1)
    data = bytearray(path.read_bytes())
    first = int.from_bytes(data[4:8], "little")
    link = first + 2 + 12 * int.from_bytes(data[first : first + 2], "little")
    data[link : link + 4] = data[4:8]
    path.write_bytes(bytes(data))
    assert foreign(path) is None
