from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdgan.errors import BadConfig, BadInput, DamagedArtifact, HdganError
from hdgan.slides.pseudonyms import Pseudonyms, find_pseudonymous, hidden, hidden_error, hiding, make_key, open_key
from hdgan.slides.table import SlideEntry

KEY = Pseudonyms(bytes(range(32)))


def test_a_pseudonym_is_the_beginning_of_a_keyed_hash():
    """RFC 2104 over SHA-256, against the standard library."""
    expected = hmac.new(bytes(range(32)), "patient\0Müller".encode(), hashlib.sha256).hexdigest()[:12]
    assert KEY.patient("Müller") == f"p-{expected}"


@given(st.text(min_size=1), st.text(min_size=1))
def test_equal_names_have_equal_pseudonyms_and_others_others(one, two):
    assert KEY.patient(one) == KEY.patient(one)
    assert KEY.slide(one)[2:] != KEY.patient(one)[2:]
    if one != two and one.isascii() and two.isascii():
        assert KEY.patient(one) != KEY.patient(two)
    assert Pseudonyms(b"another").patient(one) != KEY.patient(one)


@given(st.text(min_size=1).filter(lambda name: not name.endswith("*")), st.lists(st.text(min_size=1), max_size=3))
def test_a_class_is_itself_where_it_may_be_shown_and_else_a_pseudonym_behind_what_may(name, shown):
    found = KEY.region_class(name, shown=shown)
    known = {one.casefold() for one in shown}
    if name.casefold() in known:
        assert found == name
    else:
        prefix, mark = found[:-14], found[-14:]
        assert re.fullmatch("c-[0-9a-f]{12}", mark)
        assert mark == KEY.region_class(name, shown=())
        assert not prefix or (prefix.endswith(": ") and prefix[:-2].casefold() in known and name.startswith(prefix[:-1]))


def test_classes_that_qupath_ignores_stay_ignored_and_no_class_stays_none():
    assert KEY.region_class("", shown=()) == ""
    assert re.fullmatch(r"c-[0-9a-f]{12}\*", KEY.region_class("Doe*", shown=()))
    assert KEY.region_class("TUMOR", shown=("Tumor",)) == "TUMOR"
    assert KEY.region_class("Tumor: Doe: left", shown=("tumor", "tumor: doe")).startswith("Tumor: Doe: c-")


def test_a_name_is_the_same_however_a_file_system_spells_it():
    assert KEY.slide("Mu\u0308ller") == KEY.slide("M\u00fcller")


def test_the_key_is_in_no_representation_and_its_fingerprint_says_nothing_about_it():
    assert KEY.key.hex() not in repr(KEY) + KEY.fingerprint
    assert repr(KEY) == "Pseudonyms()"
    assert KEY.fingerprint != Pseudonyms(b"another").fingerprint


def test_slides_and_patients_are_renamed_and_ordered_anew():
    entries = [SlideEntry(f"doe-{n}", Path(f"/x/doe-{n}.SVS"), patient="Doe", stain="PAS") for n in range(5)]
    found = KEY.renamed(entries)
    assert {entry.patient for entry in found} == {KEY.patient("Doe")}
    assert [entry.name for entry in found] == sorted(KEY.slide(f"doe-{n}") for n in range(5))
    assert {entry.path for entry in found} == {entry.path for entry in entries}
    assert all(entry.file_name == f"{entry.name}.svs" and entry.stain == "PAS" for entry in found)


def test_the_end_of_a_name_is_no_suffix():
    (entry,) = KEY.renamed([SlideEntry("John.Doe", Path("/x/John.Doe"), patient="J")])
    assert entry.file_name == KEY.slide("John.Doe")


def test_slides_that_differ_only_in_spelling_are_refused():
    entries = [SlideEntry(name, Path(name), patient="a") for name in ("Mu\u0308ller", "M\u00fcller")]
    with pytest.raises(BadInput, match="two slides have the same"):
        KEY.renamed(entries)


def test_a_key_is_made_once_and_read_again(tmp_path):
    path = tmp_path / "apart" / "key.txt"
    assert make_key(path)
    first = open_key(path)
    assert len(first.key) == 32
    assert not make_key(path)
    assert open_key(path) == first
    assert make_key(tmp_path / "other.txt")
    assert open_key(tmp_path / "other.txt") != first


@pytest.mark.parametrize(
    "content", [b"", b"secret\n", b"hdgan-pseudonym-key-1 12\n", b"\xff\xfe\x00", b"hdgan-pseudonym-key-1 " + b"g" * 64]
)
def test_what_is_no_key_file_is_refused_and_not_shown(tmp_path, content):
    path = tmp_path / "key.txt"
    path.write_bytes(content)
    with pytest.raises(BadInput, match="key file") as caught:
        open_key(path)
    assert "secret" not in str(caught.value)


def test_a_key_that_is_gone_or_cannot_be_made_is_one_line(tmp_path):
    with pytest.raises(BadInput, match="no such key file; put it back"):
        open_key(tmp_path / "gone")
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match="cannot be made there"):
        make_key(tmp_path / "file" / "key")


ENTRY = KEY.renamed([SlideEntry("Doe_John_1", Path("/clinic/Doe/Doe_John_1.svs"), patient="Doe")])


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ("/clinic/Doe/Doe_John_1.svs: is no slide", "{0}.svs: is no slide"),
        ("Doe_John_1: 3 tiles", "{0}: 3 tiles"),
        ("cannot read '/clinic/Doe/index.dat'", "cannot read 'index.dat'"),
        ("Doe_John_12 and 512 px", "Doe_John_12 and 512 px"),
    ],
)
def test_a_line_names_the_pseudonym_where_it_named_the_slide(told, shown):
    assert hidden(told, ENTRY) == shown.format(ENTRY[0].name)


def test_short_names_are_not_looked_for_inside_lines():
    entries = KEY.renamed([SlideEntry("512", Path("512.svs"), patient="512")])
    assert hidden("512 px of 512.svs", entries) == f"512 px of {KEY.slide('512')}.svs"


@pytest.mark.parametrize("kind", [BadInput, BadConfig, DamagedArtifact])
def test_an_error_keeps_its_kind_and_loses_the_name(kind):
    error = hidden_error(kind("/clinic/Doe/Doe_John_1.svs", "Doe_John_1 is bad", "look at Doe_John_1.svs"), ENTRY)
    name = ENTRY[0].name
    assert type(error) is kind
    assert (error.where, error.what, error.remedy) == (f"{name}.svs", f"{name} is bad", f"look at {name}.svs")
    assert str(error) == f"{name}.svs: {name} is bad; look at {name}.svs"
    assert str(hidden_error(HdganError("Doe_John_1 fell"), ENTRY)) == f"{name} fell"


def test_errors_leave_a_block_without_names_and_without_a_cause_that_is_shown():
    with pytest.raises(BadInput) as caught, hiding(ENTRY):
        raise BadInput(ENTRY[0].path, "is bad") from ValueError(str(ENTRY[0].path))
    assert "Doe" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_an_error_of_the_operating_system_about_a_slide_names_it_not_and_others_stay_as_they_are():
    with pytest.raises(HdganError, match=r"Permission denied") as caught, hiding(ENTRY):
        raise PermissionError(13, "Permission denied", str(ENTRY[0].path))
    assert "Doe" not in str(caught.value)
    with pytest.raises(PermissionError), hiding(ENTRY):
        raise PermissionError(13, "Permission denied", "/runs/mine")


@pytest.fixture
def table(tmp_path):
    (tmp_path / "list.csv").write_text("path,patient,mpp\nDoe_John.svs,Doe-4711,0.5\n")
    (tmp_path / "Doe_John.svs").touch()
    return tmp_path


def test_slides_are_found_by_table_or_folder_under_their_pseudonyms(table):
    (entry,) = find_pseudonymous(["list.csv"], base=table, pseudonyms=KEY)
    assert (entry.name, entry.patient, entry.mpp) == (KEY.slide("Doe_John"), KEY.patient("Doe-4711"), 0.5)
    (entry,) = find_pseudonymous(["."], base=table, pseudonyms=KEY)
    assert entry.patient == KEY.patient("Doe_John")


@pytest.mark.parametrize("source", ["Doe_John.svs", "doe_john*", "*/../Doe_John.svs"])
def test_sources_that_name_a_slide_are_refused_without_naming_it(table, source):
    with pytest.raises(BadInput) as caught:
        find_pseudonymous(["list.csv", source], base=table, pseudonyms=KEY)
    assert "oe_" not in str(caught.value)


def test_a_bad_table_is_refused_with_its_line_and_without_its_values(table):
    (table / "list.csv").write_text("path,patient,mpp\nDoe_John.svs,Doe,John\n")
    with pytest.raises(BadInput, match=r"list\.csv: line 2: is refused for a reason that is not shown") as caught:
        find_pseudonymous(["list.csv"], base=table, pseudonyms=KEY)
    assert "John" not in str(caught.value)
    with pytest.raises(BadInput, match=r"^tiles\.slides: is refused"):
        find_pseudonymous(["Doe_*.ndpi"], base=table, pseudonyms=KEY)


def test_a_pseudonym_that_ends_like_the_name_of_another_slide_is_left_as_it_is():
    others = [
        replace(ENTRY[0], path=Path("/scans/a2.tif"), name="slide-0f"),
        replace(ENTRY[0], path=Path("/scans/b.tif"), name="slide-77a2"),
    ]
    assert hidden("/scans/b.tif: is damaged", others) == f"{others[1].file_name}: is damaged"
    assert hidden("a2.tif: is damaged, as is b_a2.tif", others) == f"{others[0].file_name}: is damaged, as is b_{others[0].file_name}"
