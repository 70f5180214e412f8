from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdgan.annotations.drawings import OUTLINES, PICTURES, drawings_in, refuse_unread_outlines
from hdgan.errors import BadMask

SUFFIXES = (".png", ".geojson", ".geojson.gz")


def put(folder, *names):
    for name in names:
        (folder / name).touch()


def found(folder, suffixes=SUFFIXES):
    return [
        (name, path.name) for name, path in drawings_in(folder, suffixes=suffixes, refusal=lambda path: BadMask(path, "of another type"))
    ]


def test_drawings_come_by_their_names_whatever_the_case_of_their_endings(tmp_path):
    put(tmp_path, "b.PNG", "a.geojson.gz", "C.GeoJSON", "c.d.png")
    assert found(tmp_path) == [("C", "C.GeoJSON"), ("a", "a.geojson.gz"), ("b", "b.PNG"), ("c.d", "c.d.png")]


def test_what_is_neither_drawing_nor_picture_is_passed_over(tmp_path):
    put(tmp_path, ".hidden.png", "masks.json", "notes.txt", "geojson", "a.png")
    (tmp_path / "folder.png").mkdir()
    assert found(tmp_path) == [("a", "a.png")]


@pytest.mark.parametrize("suffix", [suffix for suffix in (*PICTURES, ".JPG") if suffix != ".png"])
def test_a_picture_of_another_type_is_refused_as_the_caller_says(tmp_path, suffix):
    put(tmp_path, f"a{suffix}")
    with pytest.raises(BadMask, match="of another type") as caught:
        found(tmp_path)
    assert caught.value.where == str(tmp_path / f"a{suffix}")


def test_a_picture_that_is_read_elsewhere_is_refused_where_it_is_not(tmp_path):
    put(tmp_path, "a.png")
    assert found(tmp_path) == [("a", "a.png")]
    with pytest.raises(BadMask, match="of another type"):
        found(tmp_path, suffixes=(".geojson",))


def test_a_second_drawing_of_a_sample_is_refused_and_those_before_it_were_given(tmp_path):
    put(tmp_path, "a.geojson", "b.geojson", "b.png", "c.jpg")
    given_out = []
    with pytest.raises(BadMask) as caught:
        for name, _ in drawings_in(tmp_path, suffixes=SUFFIXES, refusal=lambda path: BadMask(path, "of another type")):
            given_out.append(name)
    assert given_out == ["a", "b"]
    assert str(caught.value) == f"{tmp_path / 'b.png'}: b.geojson is of the same sample; keep one of them"


@pytest.mark.parametrize("suffix", [*OUTLINES, ".JSON"])
def test_outlines_of_a_sample_in_a_format_that_is_not_read_are_refused_and_not_missed(tmp_path, suffix):
    put(tmp_path, "a.geojson", "masks.json", "notes.xml", f"b{suffix}")
    refuse_unread_outlines(tmp_path, known=("a",))
    with pytest.raises(BadMask, match=rf"b\{suffix}: outlines of type .* are not read; save outlines as GeoJSON, b\.geojson"):
        refuse_unread_outlines(tmp_path, known=("a", "b"))


@settings(max_examples=30)
@given(files=st.dictionaries(st.integers(0, 99), st.sampled_from([*SUFFIXES, ".txt", ".json"]), max_size=8))
def test_each_drawing_is_given_once_and_in_order(tmp_path_factory, files):
    folder = tmp_path_factory.mktemp("drawn")
    put(folder, *(f"{number:06d}{suffix}" for number, suffix in files.items()))
    assert found(folder) == sorted((f"{number:06d}", f"{number:06d}{suffix}") for number, suffix in files.items() if suffix in SUFFIXES)
