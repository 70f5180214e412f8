"""More than three hundred damaged slides: each is cut, but for what is damaged, or refused with a line; none costs another slide, or the process."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from hdgan.slides.inspect import inspect_slides
from hdgan.tiles.config import TilesConfig
from hdgan.tiles.stage import run_tiles
from tests.slides.damaging import damaged_slides
from tests.slides.painting import paint, write_coded

ROOT = Path(__file__).parents[2]
DATA = os.environ.get("HDGAN_DATA")
CRASHING: set[str] = set()
"""Cases that end the process that reads them, for the crew of processes to survive. With OpenSlide 4.0.1 and imagecodecs 2026.3 there are none."""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A folder of all cases."""
    folder, bases = tmp_path_factory.mktemp("damaged"), tmp_path_factory.mktemp("bases")
    for name, data in damaged_slides(bases):
        assert not (folder / name).exists()
        (folder / name).write_bytes(data)
    return folder


@pytest.fixture(scope="module")
def outcomes(corpus):
    """What became of each case in a child process; None of one that ended it."""
    found, waiting = {}, sorted(path.name for path in corpus.iterdir())
    while waiting:
        command = [sys.executable, "-m", "tests.tiles.cut_damaged", str(corpus), *waiting]
        child = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
        begun = []
        for line in child.stdout.splitlines():
            said = json.loads(line)
            begun += [said["begin"]] if "begin" in said else []
            found |= {said["name"]: said} if "name" in said else {}
        assert begun, child.stderr
        assert child.returncode <= 0, child.stderr  # an error that is no refusal
        found |= {} if begun[-1] in found else {begun[-1]: None}
        waiting = waiting[len(begun) :]
    return found


def test_there_are_hundreds_of_cases_and_equal_calls_give_equal_bytes(corpus, tmp_path):
    cases = dict(damaged_slides(tmp_path))
    assert len(cases) > 300
    assert all((corpus / name).read_bytes() == data for name, data in cases.items())


def test_each_is_cut_or_refused_in_a_line_and_none_ends_the_process(outcomes):
    assert {name for name, found in outcomes.items() if found is None} == CRASHING
    for name, found in outcomes.items():
        if found is None or "verdicts" in found:
            continue
        assert "\n" not in found["refused"]
        assert found["refused"].count(name) == 1
        assert found["remedy"]
        assert "Traceback" not in found["refused"]


def test_no_case_takes_long_or_much_memory(outcomes):
    for name, found in outcomes.items():
        assert found is None or found["seconds"] < 10, name
        assert found is None or found["peak_mb"] < 500, name


def test_what_is_damaged_in_one_tile_costs_that_tile(outcomes):
    one_tile = (
        "tile-ones",
        "tile-zeros",
        "tile-noise",
        "tile-cut",
        "tile-head-noise",
        "offset-beyond",
        "offset-vast",
        "count-one",
        "count-negative",
    )
    for base, suffix in (("jpeg", "svs"), ("deflate", "tif"), ("big", "tif"), ("j2k", "svs"), ("lzw", "tif")):
        for kind in one_tile:
            name = f"{base}-{kind}.{suffix}"
            if name == "lzw-tile-cut.tif":  # zeros are LZW code: see benchmarks/tiles/seen_damage.py
                continue
            assert outcomes[name]["verdicts"] == {"kept": 15, "unreadable": 1}, name
            assert outcomes[name]["unread"].count("tile undecodable") == 1, name


def test_checksums_of_deflate_are_heeded_although_openslide_does_not_look_at_them(outcomes):
    for kind in ("tile-flip", "tile-cut", "tile-noise-within"):
        assert outcomes[f"deflate-{kind}.tif"]["verdicts"] == {"kept": 15, "unreadable": 1}
        assert outcomes[f"deflate-{kind}.tif"]["reader"] == "direct"


def test_a_header_that_contradicts_itself_is_refused_and_not_read_as_white(outcomes):
    kinds = ("few-offsets", "few-counts", "all-counts-zero", "size-large", "tile-odd", "level-1-narrow", "compression-none")
    for name in (f"{base}{kind}" for base in ("jpeg-", "deflate-", "lzw-") for kind in kinds):
        found = outcomes[f"{name}.svs" if name.startswith("jpeg") else f"{name}.tif"]
        assert "has a damaged header: its level of" in found["refused"], name


def test_broken_slides_are_skipped_and_the_good_ones_are_as_without_them(tmp_path, corpus):
    scans = tmp_path / "scans"
    scans.mkdir()
    for number, (codec, suffix) in enumerate((("jpeg 4:2:0", ".svs"), ("deflate", ".tif"))):
        write_coded(scans / f"good{number}{suffix}", paint(320, 256, seed=20 + number), codec=codec, is_aperio=suffix == ".svs")
    settings = {"mpp": 0.25, "tile_px": 64, "slide_mpp": 0.25, "num_folds": 1, "broken_slides": "skip", "workers": 1}
    alone = TilesConfig(slides=("scans",), **settings)
    run_tiles(alone, out=tmp_path / "alone", seed=0, base=tmp_path)
    chosen = sorted(path for path in corpus.iterdir() if path.name.startswith(("jpeg-", "foreign-")))
    for path in chosen:
        (scans / f"bad-{path.stem}{path.suffix}").write_bytes(path.read_bytes())
    lines = [f"{path.name},{path.stem if path.stem.startswith('good') else path.name}" for path in scans.iterdir() if path.suffix != ".csv"]
    (scans / "all.csv").write_text("path,slide\n" + "\n".join(sorted(lines)) + "\n")
    manifest = run_tiles(TilesConfig(slides=("scans/all.csv",), **settings), out=tmp_path / "together", seed=0, base=tmp_path)
    assert manifest.counts["slides"] + manifest.counts["skipped_slides"] == 2 + len(chosen)
    assert manifest.counts["skipped_slides"] > 40
    assert good_ones(tmp_path / "together") == good_ones(tmp_path / "alone")
    with (tmp_path / "together" / "slides.csv").open() as file:
        table = list(csv.DictReader(file))
    assert all(line["kept"] or line["problem"] for line in table)
    assert (tmp_path / "together" / "unread.csv").read_text().count("tile dropped") > 50


def test_slides_that_are_left_out_stand_in_the_table_under_their_own_names_and_patients(tmp_path, cohort, config):
    """One is damaged, the region file of another is; a third is called as the file of the first."""
    (cohort / "a1.tif").write_bytes(b"no slide")
    (cohort / "outlines.xml").write_text("none")
    lines = ["a1.tif,first,A,Rome,PAS,", "a2.tif,second,A,Rome,HE,outlines.xml", "b1.tif,a1,B,Pisa,PAS,"]
    (cohort / "slides.csv").write_text("path,slide,patient,centre,stain,regions\n" + "\n".join(lines) + "\n")
    run_tiles(config.model_copy(update={"broken_slides": "skip"}), out=tmp_path / "out", seed=0, base=cohort)
    with (tmp_path / "out" / "slides.csv").open() as file:
        table = {line["slide"]: line for line in csv.DictReader(file)}
    told = {name: (line["file"], line["patient"], line["centre"], line["stain"]) for name, line in table.items()}
    assert told == {"first": ("a1.tif", "A", "Rome", "PAS"), "second": ("a2.tif", "A", "Rome", "HE"), "a1": ("b1.tif", "B", "Pisa", "PAS")}
    assert table["a1"]["problem"] == ""
    assert table["first"]["problem"].startswith("is a text file, not a slide; ")
    assert table["second"]["problem"].startswith("outlines.xml: holds no outlines that can be read")


def good_ones(out):
    """What the stage holds of the good slides: tiles, cells, pictures."""
    with zipfile.ZipFile(out / "tiles.zip") as archive:
        tiles = {name: archive.read(name) for name in archive.namelist() if name.startswith("good")}
    cells = [line for line in (out / "cells.csv").read_text().splitlines() if line.startswith("good")]
    pictures = {path.name: path.read_bytes() for path in (out / "report").iterdir() if path.name.startswith("good")}
    assert len(tiles) > 10
    return tiles, cells, pictures


@pytest.mark.skipif(not DATA, reason="HDGAN_DATA is not set")
def test_every_slide_of_the_shared_data_opens_or_is_refused_in_a_line():
    reports = inspect_slides([str(Path(DATA) / "slides")], base=Path(DATA))
    assert len(reports) >= 5
    for report in reports:
        if report.size_px is None:
            assert report.problem.startswith(f"{report.path}: ")
            assert "; " in report.problem
            assert "\n" not in report.problem
        else:
            assert report.vendor
            assert report.reader
            assert not report.problem or "does not state its scale" in report.problem
    assert {report.name for report in reports if report.size_px is None} == {"broken"}
