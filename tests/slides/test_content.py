from __future__ import annotations

import hashlib

import pytest

from hdgan.errors import BadInput
from hdgan.slides import content
from hdgan.slides.content import content_hash

from .dicom_painting import write_series
from .painting import paint


def test_a_small_slide_is_hashed_whole(tmp_path):
    (tmp_path / "a.svs").write_bytes(b"slide")
    assert content_hash(tmp_path / "a.svs") == "sha256:" + hashlib.sha256(b"slide").hexdigest()


@pytest.mark.parametrize("changed", [0, 2_000_000, 3_999_999])
def test_a_large_slide_is_known_by_size_head_middle_and_tail(tmp_path, monkeypatch, changed):
    monkeypatch.setattr(content, "_WHOLE_UP_TO", 1 << 20)
    data = bytearray(4_000_000)
    (tmp_path / "a.svs").write_bytes(data)
    before = content_hash(tmp_path / "a.svs")
    assert before.startswith("sampled:")
    data[changed] = 1
    (tmp_path / "a.svs").write_bytes(data)
    assert content_hash(tmp_path / "a.svs") != before
    (tmp_path / "a.svs").write_bytes(bytes(3_999_999))
    assert content_hash(tmp_path / "a.svs") != before


def test_the_data_files_of_a_mirax_slide_count(tmp_path):
    (tmp_path / "a.mrxs").write_bytes(b"x")
    alone = content_hash(tmp_path / "a.mrxs")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "Data0000.dat").write_bytes(b"12345")
    with_data = content_hash(tmp_path / "a.mrxs")
    (tmp_path / "a" / "Data0000.dat").write_bytes(b"123456")
    assert len({alone, with_data, content_hash(tmp_path / "a.mrxs")}) == 3


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(BadInput, match="cannot be read"):
        content_hash(tmp_path / "none.svs")


def test_a_dicom_slide_is_all_files_of_its_series_whichever_names_it(tmp_path, monkeypatch):
    for folder, names in (("one", ("a.dcm", "b.dcm", "c.dcm")), ("two", ("3", "2", "1"))):
        (tmp_path / folder).mkdir()
        write_series(tmp_path / folder, paint(), names=names)
    write_series(tmp_path / "two", paint(seed=1), names=("other.dcm",), series="1.2.4")
    (known,) = {content_hash(path) for path in tmp_path.rglob("*") if path.is_file() and path.name != "other.dcm"}
    assert known.startswith("sha256:")
    write_series(tmp_path / "two", paint(seed=1), names=("other.dcm",), series="1.2.3")
    assert content_hash(tmp_path / "two" / "1") != known
    alone = tmp_path / "one" / "a.dcm"
    for name in ("b.dcm", "c.dcm"):
        (tmp_path / "one" / name).unlink()
    assert content_hash(alone) == "sha256:" + hashlib.sha256(alone.read_bytes()).hexdigest()
    monkeypatch.setattr(content, "_WHOLE_UP_TO", 10)
    assert content_hash(tmp_path / "two" / "1").startswith("sampled:")


@pytest.mark.parametrize("suffix", [".vms", ".VMU"])
def test_the_images_that_an_index_names_count_by_their_content(tmp_path, suffix):
    folder = tmp_path / "slides"
    folder.mkdir()
    index = folder / f"a{suffix}"
    text = "[Virtual Microscope Specimen]\r\nImageFile=a.jpg\r\nImageFile(1,0)= b.jpg\r\nMapFile=map.jpg\r\nMacroImage=label.jpg\r\n"
    index.write_bytes(f"{text}ImageFile(0,1)=../beyond.jpg\r\nSourceLens=40\r\n".encode())
    alone = content_hash(index)
    for name in ("a.jpg", "b.jpg", "map.jpg"):
        (folder / name).write_bytes(b"12345")
    whole = content_hash(index)
    for name in ("label.jpg", "c.jpg", "40", "../beyond.jpg"):
        (folder / name).write_bytes(b"1")
    assert content_hash(index) == whole
    changed = []
    for name in ("a.jpg", "b.jpg", "map.jpg"):
        (folder / name).write_bytes(b"12346")
        changed.append(content_hash(index))
    assert len({alone, whole, *changed}) == 5
