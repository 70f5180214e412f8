from __future__ import annotations

import pytest

from hdgan.errors import BadInput
from hdgan.slides.table import Area, find_slides, read_table

from .dicom_painting import write_series
from .painting import paint


@pytest.fixture
def scans(tmp_path):
    for name in ("b.svs", "a.tif", "mask.png", "notes.txt"):
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


def table(folder, text, name="slides.csv"):
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def test_a_folder_gives_its_slides_and_not_the_masks_beside_them(scans):
    found = find_slides([str(scans)], base=scans)
    assert [(entry.name, entry.patient, entry.path.name) for entry in found] == [("a", "a", "a.tif"), ("b", "b", "b.svs")]


def test_a_folder_of_images_gives_them(tmp_path):
    (tmp_path / "x.jpg").touch()
    assert [entry.name for entry in find_slides(["."], base=tmp_path)] == ["x"]


def test_a_pattern_and_a_file_are_relative_to_the_settings(scans):
    assert [entry.name for entry in find_slides(["*.svs", "a.tif"], base=scans)] == ["a", "b"]


def test_a_pattern_finds_no_hidden_file_but_where_it_names_one(tmp_path):
    for name in ("a.svs", "._a.svs", ".kept/b.svs", "deep/c.svs", "deep/.trash/d.svs"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = {
        pattern: {entry.path.name for entry in find_slides([pattern], base=tmp_path)}
        for pattern in ("*.svs", "**/*.svs", ".*.svs", ".kept/*")
    }
    assert found == {"*.svs": {"a.svs"}, "**/*.svs": {"a.svs", "c.svs"}, ".*.svs": {"._a.svs"}, ".kept/*": {"b.svs"}}


def test_a_pattern_below_a_folder_that_is_called_like_one_is_found(tmp_path):
    folder = tmp_path / "study [2]"
    folder.mkdir()
    (folder / "a.svs").touch()
    for source, base in (("*.svs", folder), (f"{folder}/*.svs", tmp_path), ("study [2]/*.svs", tmp_path), ("../study [2]/a*", folder)):
        assert [entry.path.resolve() for entry in find_slides([source], base=base)] == [folder / "a.svs"]


def test_a_table_says_whose_slide_it_is(scans):
    path = table(scans, "Path;Patient;Centre;Stain;mpp;Diagnosis\na.tif;P 7;Rome;PAS;0.25;IgAN\n\nb.svs;;;;;\n")
    first, second = find_slides([str(path)], base=scans / "elsewhere")
    assert (first.patient, first.centre, first.stain, first.mpp, first.path) == ("P 7", "Rome", "PAS", 0.25, scans / "a.tif")
    assert (first.diagnosis, first.file_name) == ("IgAN", "a.tif")
    assert (second.patient, second.centre, second.mpp, second.diagnosis) == ("b", "", None, "")


def test_other_names_of_columns_are_understood(scans):
    (entry,) = read_table(table(scans, "file,donor,site,i_px\na.tif,3,Pisa,99\n"))
    assert (entry.patient, entry.centre) == ("3", "Pisa")


def test_scanned_areas_come_from_a_second_table(scans):
    table(scans, "x_px,y_px,size_px\n0,1024,512\n512,0,512\n", "areas.csv")
    (entry,) = read_table(table(scans, "path,areas\na.tif,areas.csv\n"))
    assert entry.areas == (Area(0, 1024, 512, 512), Area(512, 0, 512, 512))


def test_slides_of_one_name_are_told_apart_by_their_folders(tmp_path):
    for name in ("one/1.svs", "two/1.svs", "two/2.svs"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [entry.name for entry in find_slides(["one", "two"], base=tmp_path)] == ["2", "one-1", "two-1"]


def test_a_patient_that_a_table_names_stays_although_slides_are_renamed(tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "p1.svs").touch()
    path = table(tmp_path, "path,patient\none/p1.svs,p1\ntwo/p1.svs,p1\n")
    assert {entry.patient for entry in find_slides([str(path)], base=tmp_path)} == {"p1"}


def test_the_same_slide_named_twice_is_refused(scans):
    with pytest.raises(BadInput, match=r"a\.tif: is named twice; name each slide once"):
        find_slides(["a.tif", "a.tif"], base=scans)
    with pytest.raises(BadInput, match=r"b\.svs: has the same name as .*a\.tif; give each its own"):
        find_slides([str(table(scans, "path,slide\na.tif,one\nb.svs,one\n"))], base=scans)


def test_a_name_that_is_too_long_for_the_files_called_after_it_is_refused(tmp_path):
    for name, is_fit in (("a" * 200, True), ("b" * 201, False), ("\u00e9" * 101, False)):
        (tmp_path / f"{name}.svs").touch()
        if is_fit:
            find_slides([f"{name}.svs"], base=tmp_path)
        else:
            with pytest.raises(BadInput, match=r"has a name of 20[12] bytes, .*; give it one of at most 200 in the column `slide`"):
                find_slides([f"{name}.svs"], base=tmp_path)


def test_names_become_fit_for_files(tmp_path):
    (tmp_path / "case 7 (PAS).svs").touch()
    (entry,) = find_slides(["*.svs"], base=tmp_path)
    assert entry.name == "case_7_PAS_"


def test_an_accent_that_is_a_letter_of_its_own_makes_no_other_slide_or_patient(scans):
    composed, apart = "J\u00fcrgen", "Ju\u0308rgen"
    for name in (composed, apart):
        (scans / f"{name}.svs").touch()
        (entry,) = find_slides([f"{name}.svs"], base=scans)
        assert entry.name == composed
        assert entry.path == scans / f"{name}.svs", "the file is opened as it is called"
    found = read_table(table(scans, f"path,patient\na.tif,{composed}\nb.svs,{apart}\n"))
    assert {entry.patient for entry in found} == {composed}


def test_a_variable_in_a_path_is_filled_or_named(scans, monkeypatch):
    monkeypatch.setenv("SCANS_HERE", str(scans))
    monkeypatch.delenv("SCANS_THERE", raising=False)
    assert read_table(table(scans, "path\n${SCANS_HERE}/a.tif\n"))[0].path == scans / "a.tif"
    with pytest.raises(BadInput, match="SCANS_THERE is not set"):
        read_table(table(scans, "path\n${SCANS_THERE}/a.tif\n"))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("path,mpp\na.tif,big\n", "line 2: 'big' is no scale"),
        ("path,mpp\na.tif,-1\n", "line 2: '-1' is no scale"),
        ("path,mpp\na.tif,0.00025\n", "line 2: '0.00025' is no scale"),
        ("path,stain\n,PAS\n", "line 2: names no slide"),
        ("name,stain\na.tif,PAS\n", r"line 1: has no column `path`, but name, stain; name the columns there"),
        ("path,stian\na.tif,PAS\n", r"line 1: has a column `stian`, which is not read; call it `stain`, or something less like it"),
        ("path,Patients\na.tif,p1\n", r"line 1: has a column `patients`, which is not read; call it `patient`"),
        ("path\tstain\na.tif\tPAS\n", r"line 1: has no column `path`, but path stain; .* with commas or semicolons"),
        ("path\n", "no lines"),
        ("path,areas\na.tif,none.csv\n", "cannot be read as a CSV"),
        (
            "path,patient,stain\na.tif,Doe, John,PAS\n",
            r"slides\.csv: line 2: has more values than the 3 columns; quote a value that holds ','",
        ),
        ("path,donor,case\na.tif,1,2\n", r"slides\.csv: line 1: has 2 columns for `patient`; keep one"),
    ],
)
def test_a_bad_table_is_refused_with_its_line(scans, text, what):
    with pytest.raises(BadInput, match=what):
        find_slides([str(table(scans, text))], base=scans)


@pytest.mark.parametrize(
    ("name", "data", "what"),
    [
        ("latin.csv", "path,patient\na.tif,Müller\n".encode("cp1252"), "is no text in UTF-8"),
        ("wide.csv", "path,patient\na.tif,P1\n".encode("utf-16"), "is no text in UTF-8"),
        ("renamed.csv", b"PK\x03\x04\n\n", "is a workbook and no CSV table, whatever its name"),
        ("old.csv", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "is a workbook and no CSV table, whatever its name"),
        ("slides.xlsx", b"PK\x03\x04", "is a workbook and no slide"),
    ],
)
def test_what_a_spreadsheet_saves_otherwise_is_refused_with_the_way_to_save_it(tmp_path, name, data, what):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(BadInput, match=f'{name}: {what}; save the table as "CSV UTF-8", as spreadsheets call it'):
        find_slides([name], base=tmp_path)


def test_spaces_around_quoted_values_are_no_part_of_them(scans):
    text = 'path, patient, stain\n "a.tif" , "Doe, J." ,PAS\n'
    assert [(entry.path.name, entry.patient, entry.stain) for entry in read_table(table(scans, text))] == [("a.tif", "Doe, J.", "PAS")]


def test_empty_columns_at_the_end_of_lines_are_no_values(scans):
    assert [entry.stain for entry in read_table(table(scans, "path,stain,note,note,,\na.tif,PAS,,,,,,\n"))] == ["PAS"]


def test_an_empty_folder_and_an_empty_pattern_are_refused(tmp_path):
    with pytest.raises(BadInput, match="holds no slide"):
        find_slides(["."], base=tmp_path)
    with pytest.raises(BadInput, match="no file matches"):
        find_slides(["*.svs"], base=tmp_path)


def test_the_files_of_a_dicom_series_are_one_slide(tmp_path):
    for number, names in enumerate((("a_0.dcm", "a_1.dcm", "a_2.dcm"), ("b_0.dcm", "b_1.dcm"))):
        write_series(tmp_path, paint(seed=number), names=names, series=f"1.2.{number}")
    (tmp_path / "c.dcm").write_bytes(b"damaged")
    each_named = [path.name for path in sorted(tmp_path.iterdir())]
    for sources in (["."], ["*.dcm"], [".", "a_1.dcm"], each_named):
        assert [(entry.name, entry.patient) for entry in find_slides(sources, base=tmp_path)] == [
            (name, name) for name in ("a_0", "b_0", "c")
        ]


def test_a_table_that_names_two_files_of_a_dicom_series_is_refused(tmp_path):
    write_series(tmp_path, paint(), names=("a", "b.dcm"))
    path = table(tmp_path, "path,patient\na,1\nb.dcm,2\n")
    with pytest.raises(BadInput, match=r"b\.dcm: is of the same DICOM series as .*a, and so the same slide; name one file of each series"):
        find_slides([str(path)], base=tmp_path)
    with pytest.raises(BadInput, match="same DICOM series"):
        find_slides(["b.dcm", str(table(tmp_path, "path,patient\na,1\n"))], base=tmp_path)


def test_columns_of_ones_own_are_ignored_whatever_they_are_called(tmp_path):
    (tmp_path / "a.tif").touch()
    (tmp_path / "t.csv").write_text("path,stain,stains,age,donor,i_px,note\na.tif,PAS,3,60,p1,7,x\n")
    (entry,) = read_table(tmp_path / "t.csv")
    assert (entry.stain, entry.patient) == ("PAS", "p1")
