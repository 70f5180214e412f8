from __future__ import annotations

import re
from html.parser import HTMLParser
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image

from hdgan.slides.pseudonyms import open_key
from hdgan.store.archive import TileArchive
from hdgan.tiles.report import PICTURES, REPORT
from hdgan.tiles.stage import run_tiles
from tests.slides.painting import damage, paint, write_slide


class Tags(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found, self.open = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "input", "path", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture
def troubled(tmp_path, cohort, config):
    """A finished stage with a damaged slide, an empty one, one left out, and thresholds of every kind."""
    damage(write_slide(cohort / "a1.tif", paint(seed=0), levels=1), tile_index=0)
    write_slide(cohort / "glass.tif", paint(tissue=(0, 0, 0.02, 0.02)))
    (cohort / "bad <1>.svs").write_bytes(b"no slide")
    settings = {"slides": ("slides.csv", "glass.tif", "bad <1>.svs"), "broken_slides": "skip", "max_blur": 0.9, "max_pen": 0.1}
    run_tiles(config.model_copy(update=settings), out=tmp_path / "out", seed=0, base=cohort)
    return tmp_path / "out"


def test_the_page_is_whole_and_fetches_nothing_from_outside(troubled):
    text = (troubled / REPORT).read_text()
    tags = Tags(text)
    assert tags.open == []
    assert not re.search(r"https?://|<script|@import|url\(", text)
    places = [attrs[key] for _, attrs in tags.found for key in ("src", "href") if key in attrs]
    assert len(places) >= 2 * 4 + 4
    for place in places:
        assert (troubled / unquote(place)).is_file(), place


def test_every_slide_is_shown_with_its_cells_over_it(troubled):
    tags = Tags((troubled / REPORT).read_text())
    images = [attrs for tag, attrs in tags.found if tag == "img"]
    assert [attrs["loading"] for attrs in images] == ["lazy"] * 8
    for name in ("a1", "a2", "b1", "glass"):
        with Image.open(troubled / PICTURES / f"{name}.jpg") as picture, Image.open(troubled / PICTURES / f"{name}.cells.png") as overlay:
            assert picture.size == overlay.size == (320, 256)
            assert np.asarray(overlay)[..., 3].any()
        assert f"slide-{name}" in [attrs.get("id") for _, attrs in tags.found]


def test_the_page_names_what_went_wrong_and_escapes_it(troubled):
    text = (troubled / REPORT).read_text()
    assert "bad &lt;1&gt;.svs" in text
    assert "left out: is a text file" in text
    assert re.search(r"<td>a1</td><td>\d+ cells cannot be decoded", text)
    assert re.search(r"<td>glass</td><td>no tile: \d+ too much background", text)


def test_the_page_counts_by_stain_centre_fold_and_patient(troubled):
    text = (troubled / REPORT).read_text()
    counts = text[text.index("<h2>Counts") : text.index("<h2>Folds")]
    lines = [re.findall(r"<td>(.*?)</td>", line) for line in re.findall(r"<tr.*?</tr>", counts)]
    rows = {line[0]: [int(cell.replace(",", "")) for cell in line[1:]] for line in lines if line}
    for total, *verdicts in rows.values():
        assert total == sum(verdicts)
    for group in ("stain", "centre", "patient"):
        of_group = [numbers for name, numbers in rows.items() if name.startswith(group) and name != "patient glass"]
        assert [sum(column) for column in zip(*of_group, strict=True)][1] == rows["all"][1]
    for name in ("stain PAS", "stain HE", "centre Rome", "centre Pisa", "fold 0", "fold 1", "patient A", "patient B", "patient glass"):
        assert name in rows
    assert "blur above 0.9" in text
    assert "ink above 0.1" in text
    assert text.count('class="limit"') >= 3


def table_after(text, heading):
    """The lines of the table below a heading, by what stands first in them."""
    part = text[text.index(f"<h2>{heading}") :]
    lines = re.findall(r"<tr.*?</tr>", part[: part.index("</table>")])
    cells = [re.findall(r"<td>(.*?)</td>", line) for line in lines]
    return {line[0]: line[1:] for line in cells if line}


@pytest.mark.parametrize("way", ["patient", "centre", "tile"])
def test_the_page_shows_what_lies_in_each_fold_and_of_which_stratum(tmp_path, diagnosed, config, way):
    out = tmp_path / "out"
    manifest = run_tiles(config.model_copy(update={"folds": way}), out=out, seed=0, base=diagnosed)
    text, rows = (out / REPORT).read_text(), TileArchive(out).rows
    diagnosis = {"A": "IgAN", "B": "MN"}
    shown = table_after(text, "Folds")
    assert set(shown) == {
        "all", "centre Rome", "centre Pisa", "stain HE", "stain PAS", "diagnosis IgAN", "diagnosis MN", "patients"
    }  # fmt: skip
    for name, cells in shown.items():
        kind, _, value = name.partition(" ")
        of = [row for row in rows if kind in ("all", "patients") or value in (row.centre, row.stain, diagnosis[row.patient])]
        for fold, cell in enumerate(cells):
            inside = [row for row in of if row.fold == fold]
            num_tiles_and_slides = f"{len(inside)} ({len({row.slide for row in inside})})"
            assert cell == (str(len({row.patient for row in inside})) if kind == "patients" else num_tiles_and_slides)
    for line in manifest.counts["warnings"]:
        assert f"Folds: {line}." in text
    assert ("root mean square" in text) == (way == "patient")
    assert ("2 patients lie in several folds" in text) == (way == "tile")


def test_the_page_lists_the_cases_and_why_one_is_left_out(tmp_path, diagnosed, config):
    write_slide(diagnosed / "b2.tif", paint(seed=5, tissue=(0, 0, 0.02, 0.02)))
    with (diagnosed / "slides.csv").open("a") as file:
        file.write("b2.tif,B,Pisa,HE,MN\n")
    run_tiles(config.model_copy(update={"min_stains_per_case": 2, "num_folds": 1}), out=tmp_path / "out", seed=0, base=diagnosed)
    text = (tmp_path / "out" / REPORT).read_text()
    cases = table_after(text, "Cases")
    assert cases["A"] == ["2", "HE, PAS", "Rome", "IgAN", str(len(TileArchive(tmp_path / "out"))), "0", ""]
    assert cases["B"][-2:] == ["", "has 1 (PAS) of the 2 stains asked for, counting those with tiles"]
    assert "Cases with fewer than 2 stains are left out: 1." in text
    assert "Cases: 1 have too few stains and are left out." in text
    assert "Nothing:" not in text
    counts = re.findall(r"<th>(.*?)</th>", text[text.index("<h2>Counts") : text.index("<h2>Folds")])
    assert "case left out" in counts
    assert re.search(r"<td>b1</td><td>no tile: .*case left out", text)
    assert Tags(text).open == []


def test_slides_of_a_case_that_is_not_cut_count_as_left_out(tmp_path, diagnosed, config):
    run_tiles(config.model_copy(update={"min_stains_per_case": 2, "num_folds": 1}), out=tmp_path / "out", seed=0, base=diagnosed)
    text = (tmp_path / "out" / REPORT).read_text()
    assert "<b>1</b><span>slides left out</span>" in text
    assert table_after(text, "Cases")["B"] == ["1", "PAS", "Pisa", "MN", "0", "", "has 1 (PAS) of the 2 stains asked for"]


def test_under_a_key_the_page_and_its_pictures_show_pseudonyms_only(tmp_path, diagnosed, config):
    (diagnosed / "bad.svs").write_bytes(b"no slide")
    with (diagnosed / "slides.csv").open("a") as file:
        file.write("bad.svs,Zebedee,Pisa,HE,MN\n")
    (diagnosed / "slides.csv").write_text((diagnosed / "slides.csv").read_text().replace(",A,", ",Zacharias,"))
    key = tmp_path / "apart" / "key.txt"
    asked = config.model_copy(update={"pseudonym_key": key, "broken_slides": "skip"})
    run_tiles(asked, out=tmp_path / "out", seed=0, base=diagnosed)
    names, text = open_key(key), (tmp_path / "out" / REPORT).read_text()
    assert not re.search(r"Zebedee|Zacharias|\ba1\b|\ba2\b|\bb1\b|bad\.svs|" + re.escape(str(tmp_path)), text)
    assert f"<td>{names.slide('bad')}</td><td>left out: is a text file" in text
    assert set(table_after(text, "Cases")) == {names.patient("Zacharias"), names.patient("B")}
    pictures = {path.name.partition(".")[0] for path in (tmp_path / "out" / PICTURES).iterdir()}
    assert pictures == {names.slide(name) for name in ("a1", "a2", "b1")}


def test_equal_runs_give_equal_pages(tmp_path, cohort, config):
    for name in ("one", "two"):
        run_tiles(config, out=tmp_path / name, seed=0, base=cohort)
    files = [sorted(path.relative_to(tmp_path / name) for path in (tmp_path / name / PICTURES).iterdir()) for name in ("one", "two")]
    assert files[0] == files[1]
    for file in [*files[0], REPORT]:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_scores_that_no_tile_has_are_named_in_place_of_empty_charts(tmp_path, cohort, config):
    for mpp, is_measured in ((1.0, True), (4.0, False)):
        out = tmp_path / f"at-{mpp:g}"
        run_tiles(config.model_copy(update={"asked_mpp": mpp, "tile_px": 16, "stride_px": 16}), out=out, seed=0, base=cohort)
        text = (out / REPORT).read_text()
        assert ("blur, of tiles read (" in text) == is_measured
        assert ("No tile has blur or compartment: blur and compartment need tiles of at most 2 um/px." in text) != is_measured
