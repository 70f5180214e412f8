from __future__ import annotations

import pytest

from hdgan.errors import BadInput, DamagedArtifact
from hdgan.tiles.cut import BACKGROUND, KEPT, PEN, SUSPECT, UNREADABLE, Cell
from hdgan.tiles.scores import Limits
from hdgan.tiles.stage import run_tiles
from hdgan.tiles.what_if import Kept, count_kept, lines, read_slides, what_if
from tests.slides.painting import paint, write_slide

SLIDES = {"a": {"stain": "PAS", "centre": "Rome", "patient": "A"}, "b": {"stain": "HE", "centre": "", "patient": "B"}}


def cell(slide, background, verdict=KEPT, **scores):
    return Cell(slide, 0, 0, 8, background, verdict, **scores)


def test_cells_are_counted_for_each_threshold_and_group():
    cells = [cell("a", 0.3), cell("a", 0.31, BACKGROUND), cell("b", 0.9, BACKGROUND)]
    found = count_kept(cells, SLIDES, limits=Limits(0.3), thresholds=(0.3, 0.5, 1.0))
    assert found == (
        Kept("all", "", 3, (1, 2, 3)),
        Kept("stain", "HE", 1, (0, 0, 1)),
        Kept("stain", "PAS", 2, (1, 2, 2)),
        Kept("centre", "(none)", 1, (0, 0, 1)),
        Kept("centre", "Rome", 2, (1, 2, 2)),
        Kept("patient", "A", 2, (1, 2, 2)),
        Kept("patient", "B", 1, (0, 0, 1)),
    )


def test_the_other_limits_hold_and_what_cannot_be_decoded_never_stays():
    cells = [
        cell("a", 0.9, BACKGROUND, pen=0.5),
        cell("a", 0.1, PEN, pen=0.5),
        cell("a", 0.0, UNREADABLE),
        cell("a", 0.0, SUSPECT),
        cell("a", 0.9, BACKGROUND, pen=0.1),
    ]
    found = count_kept(cells, SLIDES, limits=Limits(0.5, max_pen=0.2), thresholds=(0.5, 1.0))
    assert found[0] == Kept("all", "", 5, (0, 1))


def test_a_finished_stage_answers_what_cutting_it_again_would_give(tmp_path, cohort, config):
    thresholds = (0.1, 0.5, 0.9)
    run_tiles(config, out=tmp_path / "out", seed=0, base=cohort)
    for slide in cohort.glob("*.tif"):
        slide.rename(slide.with_suffix(".gone"))  # no slide is read
    told = what_if(tmp_path / "out", thresholds)
    for slide in cohort.glob("*.gone"):
        slide.rename(slide.with_suffix(".tif"))
    for number, threshold in enumerate(thresholds):
        other = config.model_copy(update={"max_background": threshold})
        manifest = run_tiles(other, out=tmp_path / f"{number}", seed=0, base=cohort)
        assert manifest.counts["tiles"] == told[0].num_kept[number]
        for row in told[1:]:
            if row.group == "patient":
                kept = [line for line in read_slides(tmp_path / f"{number}" / "slides.csv").values() if line["patient"] == row.value]
                assert sum(int(line["kept"]) for line in kept) == row.num_kept[number]


def test_tiles_are_counted_by_diagnosis_where_one_is_known():
    slides = {"a": SLIDES["a"] | {"diagnosis": "MN"}, "b": SLIDES["b"]}
    found = count_kept([cell("a", 0.3), cell("b", 0.4)], slides, limits=Limits(0.5), thresholds=(0.3,))
    assert [row for row in found if row.group == "diagnosis"] == [Kept("diagnosis", "(none)", 1, (0,)), Kept("diagnosis", "MN", 1, (1,))]
    assert [row.group for row in found] == ["all", "stain", "stain", "centre", "centre", "diagnosis", "diagnosis", "patient", "patient"]


def test_a_case_stays_at_the_thresholds_where_it_has_the_stains_asked_for(tmp_path, diagnosed, config):
    """Also one that is left out at the threshold of the run: its cells are scored all the same."""
    pale = paint(seed=5, tissue=(0.05, 0.05, 0.12, 0.12))
    write_slide(diagnosed / "b2.tif", pale)
    with (diagnosed / "slides.csv").open("a") as file:
        file.write("b2.tif,B,Pisa,HE,MN\n")
    asked = config.model_copy(update={"min_stains_per_case": 2, "num_folds": 1})
    run_tiles(asked, out=tmp_path / "out", seed=0, base=diagnosed)
    thresholds = (0.1, 0.5, 0.99)
    told = what_if(tmp_path / "out", thresholds)
    by_patient = {row.value: row.num_kept for row in told if row.group == "patient"}
    assert by_patient["B"][1] == 0 < by_patient["B"][2]
    for number, threshold in enumerate(thresholds):
        manifest = run_tiles(asked.model_copy(update={"max_background": threshold}), out=tmp_path / f"{number}", seed=0, base=diagnosed)
        assert manifest.counts["tiles"] == told[0].num_kept[number]


def test_the_table_stands_in_columns():
    text = lines((Kept("all", "", 1234, (5, 1200)), Kept("stain", "PAS", 1, (0, 1))), (0.3, 0.5))
    assert text == (
        "           cells  at 0.3  at 0.5",
        "all        1,234       5   1,200",
        "stain PAS      1       0       1",
    )


def test_an_unfinished_stage_and_an_impossible_share_are_refused(tmp_path):
    with pytest.raises(BadInput, match="has not been finished"):
        what_if(tmp_path)
    with pytest.raises(BadInput, match=r"1\.5 is no share of background"):
        what_if(tmp_path, (1.5,))
    (tmp_path / "slides.csv").write_text("name\na\n")
    with pytest.raises(DamagedArtifact, match="no slide table"):
        read_slides(tmp_path / "slides.csv")
