"""Which cases stay, and where their tiles lie, through the whole stage."""

from __future__ import annotations

import csv

import pytest

from hdgan.errors import BadInput, StaleStage
from hdgan.progress import Silent
from hdgan.store.archive import TileArchive
from hdgan.tiles.cases import case_table, gather, lacking_stains
from hdgan.tiles.dealing import told
from hdgan.tiles.folds import leaks
from hdgan.tiles.plan import estimate
from hdgan.tiles.stage import run_tiles
from tests.slides.painting import paint, write_slide
from tests.tiles.cohorts import cut, row


class Listener(Silent):
    def __init__(self):
        self.lines = []

    def say(self, line):
        self.lines.append(line)


def run(config, cohort, out, **fields):
    listener = Listener()
    manifest = run_tiles(config.model_copy(update=fields), out=out, seed=0, base=cohort, progress=listener)
    return manifest, listener.lines


def read(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_a_case_holds_what_is_known_of_its_slides_with_tiles():
    slides = [
        cut("A", name="2", stain="PAS", centre="Rome", diagnosis="MN", num_tiles=3),
        cut("A", name="1", stain="HE", centre="Rome", num_tiles=1),
        cut("A", name="3", stain="silver", num_tiles=0),
        cut("B", name="4", num_tiles=0),
    ]
    first, second = gather(slides)
    assert (first.slides, first.stains, first.centres, first.diagnoses, first.num_tiles) == (
        ("2", "1"),
        ("HE", "PAS"),
        ("Rome",),
        ("MN",),
        4,
    )
    assert (second.patient, second.slides, second.stains, second.num_tiles) == ("B", (), (), 0)


def test_cases_with_too_few_stains_are_named_with_those_they_have():
    cases = gather([cut("A", stain="PAS"), cut("A", stain="HE"), cut("B", stain="HE"), cut("C")])
    assert lacking_stains(cases, min_stains=2) == {
        "B": "has 1 (HE) of the 2 stains asked for",
        "C": "has none of the 2 stains asked for",
    }
    assert lacking_stains(cases, min_stains=None) == {}


def test_the_table_has_a_line_for_each_case_and_says_why_it_lacks_tiles():
    cases = gather([cut("A", stain="PAS", num_tiles=2), cut("B", num_tiles=0), cut("C", stain="HE")])
    lines = case_table(cases, [row("A", fold=3), row("A", fold=1)], {"C": "has 1 (HE) of the 2 stains asked for"}).splitlines()
    assert lines == [
        "patient,num_slides,slides,num_stains,stains,centres,diagnoses,tiles,folds,left_out",
        "A,1,A-PAS,1,PAS,,,2,1;3,",
        "B,0,,0,,,,0,,no tile stays",
        "C,1,C-HE,1,HE,,,1,,has 1 (HE) of the 2 stains asked for",
    ]


def test_the_first_cases_left_out_are_told_and_the_rest_counted():
    lines = told({f"{i:02}": "has none of the 2 stains asked for" for i in range(23)})
    assert len(lines) == 21
    assert (lines[0], lines[-1]) == (
        "left out: patient 00 has none of the 2 stains asked for",
        "left out: 3 more patients, all in cases.csv",
    )


def test_diagnoses_reach_the_tables_and_a_fold_that_lacks_one_is_warned_of(tmp_path, diagnosed, config):
    manifest, lines = run(config, diagnosed, tmp_path / "out")
    assert [case["diagnoses"] for case in read(tmp_path / "out" / "cases.csv")] == ["IgAN", "MN"]
    assert [slide["diagnosis"] for slide in read(tmp_path / "out" / "slides.csv")] == ["IgAN", "IgAN", "MN"]
    assert "diagnosis IgAN is missing from fold 1" in lines
    assert manifest.counts["warnings"] == lines
    assert manifest.counts["imbalance"]["tiles"]["largest"] > 0.1
    assert manifest.counts["cases"] == {"left_out": 0, "by_number_of_stains": {"1": 1, "2": 1}}


def test_a_diagnosis_makes_the_stage_stale_only_where_there_is_one(tmp_path, cohort, config):
    manifest, _ = run(config, cohort, tmp_path / "out")
    table = cohort / "slides.csv"
    plain = table.read_text()
    table.write_text(plain.replace("stain\n", "stain,diagnosis\n").replace("PAS\n", "PAS,\n").replace("HE\n", "HE,\n"))
    assert run(config, cohort, tmp_path / "out")[0] == manifest
    table.write_text(plain.replace("stain\n", "stain,diagnosis\n").replace("HE\n", "HE,MN\n"))
    with pytest.raises(StaleStage, match=r"inputs\.slide table"):
        run(config, cohort, tmp_path / "out")


def test_each_centre_can_be_a_fold(tmp_path, diagnosed, config):
    manifest, lines = run(config, diagnosed, tmp_path / "out", folds="centre", num_folds=5)
    assert {r.centre: r.fold for r in TileArchive(tmp_path / "out").rows} == {"Pisa": 0, "Rome": 1}
    assert [fold["patients"] for fold in manifest.counts["folds"]] == [1, 1]
    assert not any("centre" in line for line in lines)


def test_a_patient_of_two_centres_is_refused_before_anything_is_written(tmp_path, diagnosed, config):
    table = diagnosed / "slides.csv"
    table.write_text(table.read_text().replace("a2.tif,A,Rome", "a2.tif,A,Pisa"))
    with pytest.raises(BadInput, match="patient A: has slides of 2 centres"):
        run(config, diagnosed, tmp_path / "out", folds="centre")
    assert not (tmp_path / "out").exists()


def test_folds_by_tile_say_how_many_patients_leak(tmp_path, diagnosed, config):
    manifest, lines = run(config, diagnosed, tmp_path / "out", folds="tile")
    rows = TileArchive(tmp_path / "out").rows
    assert set(leaks(rows)) == {"A", "B"}
    assert any(line.startswith("folds by tile: 2 of 2 patients lie in several folds") for line in lines)
    assert manifest.counts["warnings"] == lines
    assert {case["folds"] for case in read(tmp_path / "out" / "cases.csv")} == {"0;1"}
    assert {slide["fold"] for slide in read(tmp_path / "out" / "slides.csv")} == {"0;1"}


def test_a_case_without_the_stains_asked_for_is_left_out_uncut_with_its_reason(tmp_path, diagnosed, config):
    manifest, lines = run(config, diagnosed, tmp_path / "out", min_stains_per_case=2, num_folds=1)
    why = "has 1 (PAS) of the 2 stains asked for"
    assert lines == [f"left out: patient B {why}"]
    assert {r.patient for r in TileArchive(tmp_path / "out").rows} == {"A"}
    cases = {case["patient"]: case for case in read(tmp_path / "out" / "cases.csv")}
    assert (cases["B"]["left_out"], cases["B"]["tiles"], cases["B"]["folds"]) == (why, "0", "")
    assert cases["A"]["left_out"] == ""
    slides = {slide["slide"]: slide for slide in read(tmp_path / "out" / "slides.csv")}
    assert (slides["b1"]["problem"], slides["b1"]["kept"]) == (f"left out: the patient {why}", "0")
    assert not any(cell["slide"] == "b1" for cell in read(tmp_path / "out" / "cells.csv"))
    assert manifest.counts["cases"] == {"left_out": 1, "by_number_of_stains": {"1": 1, "2": 1}}
    asked = config.model_copy(update={"min_stains_per_case": 2})
    assert estimate(asked, base=diagnosed).num_cells == manifest.counts["cells"]


def test_a_stain_without_a_tile_does_not_count(tmp_path, diagnosed, config):
    """Only cutting shows it: the slide has cells, all of them glass."""
    write_slide(diagnosed / "b2.tif", paint(seed=5, tissue=(0, 0, 0.02, 0.02)))
    with (diagnosed / "slides.csv").open("a") as file:
        file.write("b2.tif,B,Pisa,HE,MN\n")
    manifest, lines = run(config, diagnosed, tmp_path / "out", min_stains_per_case=2, num_folds=1)
    assert lines == [
        "no tile stays of 1 of 4 slides: b2; report.html says why",
        "left out: patient B has 1 (PAS) of the 2 stains asked for, counting those with tiles",
    ]
    assert {r.patient for r in TileArchive(tmp_path / "out").rows} == {"A"}
    verdicts = [cell["verdict"] for cell in read(tmp_path / "out" / "cells.csv") if cell["slide"] == "b1"]
    assert "left out" in verdicts
    assert "kept" not in verdicts
    assert manifest.counts["dropped"]["left out"] == verdicts.count("left out")
    assert manifest.counts["cells"] == manifest.counts["tiles"] + sum(manifest.counts["dropped"].values())
    assert manifest.counts["tiles"] == len(TileArchive(tmp_path / "out"))


def test_more_stains_than_any_case_has_are_refused_with_what_there_is(tmp_path, diagnosed, config):
    with pytest.raises(BadInput, match=r"no case has the 3 stains asked for; cases by their number of stains: 1 with 1, 1 with 2"):
        run(config, diagnosed, tmp_path / "out", min_stains_per_case=3)
