from __future__ import annotations

import csv
import os
import resource
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile

from hdgan.errors import BadInput, HdganError, OutOfSpace, StaleStage
from hdgan.progress import Silent
from hdgan.slides.content import content_hash
from hdgan.store import atomic
from hdgan.store.archive import TileArchive
from hdgan.store.atomic import read_json
from hdgan.store.stage import verify
from hdgan.tiles import parts, work
from hdgan.tiles.config import TilesConfig
from hdgan.tiles.folds import leaks
from hdgan.tiles.plan import plan_slides
from hdgan.tiles.shards import Shard, cut_shard
from hdgan.tiles.stage import run_tiles
from hdgan.tiles.unread import read_unread
from tests.slides.painting import damage, halved, paint, write_slide
from tests.tiles.test_pool import Listening

DATA = os.environ.get("HDGAN_DATA")


def outputs(folder: Path) -> dict[str, bytes]:
    """Every file that equal runs must make equal."""
    own = ("provenance.json", ".lock")
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name not in own}


class Told(Silent):
    def __init__(self):
        self.lines = []

    def say(self, line):
        self.lines.append(line)


def run(config, cohort, out, **settings):
    return run_tiles(config, out=out, seed=0, base=cohort, **settings)


def test_slides_become_an_archive_with_index_folds_and_sheet(tmp_path, cohort, config):
    manifest = run(config, cohort, tmp_path / "out")
    archive = TileArchive(tmp_path / "out")
    pictures = {f"report/{slide}{ending}" for slide in ("a1", "a2", "b1") for ending in (".jpg", ".cells.png")}
    tables = {"tiles.csv", "cells.csv", "unread.csv", "slides.csv", "cases.csv"}
    assert set(manifest.outputs) == {"tiles.zip", "qc.png", "report.html"} | tables | pictures
    assert verify(tmp_path / "out") == []
    assert len(archive) == manifest.counts["tiles"] > 20
    assert archive.mpp == 1.0
    assert archive.read(0).shape == (64, 64, 3)
    assert leaks(archive.rows) == {}
    assert {row.patient: row.fold for row in archive.rows} == {"A": 0, "B": 1}
    assert manifest.counts["cells"] == manifest.counts["tiles"] + manifest.counts["dropped"]["background"]
    assert manifest.counts["patients"] == 2
    with (tmp_path / "out" / "slides.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [(line["slide"], line["stain"], line["fold"]) for line in lines] == [("a1", "PAS", "0"), ("a2", "HE", "0"), ("b1", "PAS", "1")]
    assert sum(int(line["kept"]) for line in lines) == len(archive)
    assert not (tmp_path / "out" / "parts").exists()


@pytest.mark.parametrize("is_secret", [False, True], ids=["plain", "pseudonyms"])
def test_that_nobody_said_which_slides_are_of_one_patient_is_said_everywhere(tmp_path, cohort, config, is_secret):
    table = cohort / "slides.csv"
    table.write_text("path,patient\na1.tif,\na2.tif,a2\nb1.tif,\n")
    asked = config.model_copy(update={"pseudonym_key": tmp_path / "apart" / "key.txt"}) if is_secret else config
    progress = Told()
    manifest = run(asked, cohort, tmp_path / "out", progress=progress)
    line = "patient: not known of 2 slides, each of which counts as one; give a table with a column `patient`"
    assert line in manifest.counts["warnings"]
    assert line in progress.lines
    assert line in (tmp_path / "out" / "report.html").read_text()
    table.write_text("path,patient\na1.tif,a1\na2.tif,a2\nb1.tif,b1\n")
    known = run(asked, cohort, tmp_path / "known")
    assert not [line for line in known.counts["warnings"] if line.startswith("patient:")]
    (tmp_path / "one").mkdir()
    shutil.copy(cohort / "a1.tif", tmp_path / "one")
    alone = run(asked.model_copy(update={"slides": (".",), "num_folds": 1}), tmp_path / "one", tmp_path / "alone")
    assert alone.counts["warnings"] == []


def test_names_that_differ_in_capitals_and_spaces_alone_are_told_everywhere(tmp_path, cohort, config):
    table = cohort / "slides.csv"
    table.write_text("path,patient,stain\na1.tif,P 1,PAS\na2.tif,p1,PAS\nb1.tif,P2,pas\n")
    progress = Told()
    manifest = run(config, cohort, tmp_path / "out", progress=progress)
    lines = [
        f"{kind} are taken for different; if they are one, spell them alike in the slide table"
        for kind in ("patient: P 1 and p1", "stain: PAS and pas")
    ]
    for line in lines:
        assert line in manifest.counts["warnings"]
        assert line in progress.lines
        assert line in (tmp_path / "out" / "report.html").read_text()
    table.write_text("path,patient,stain\na1.tif,P1,PAS\na2.tif,P1,PAS\nb1.tif,P2,PAS-H\n")
    alike = run(config, cohort, tmp_path / "alike")
    assert not [line for line in alike.counts["warnings"] if "taken for different" in line]


def test_slides_of_which_no_tile_stays_are_told(tmp_path, cohort, config):
    table = cohort / "slides.csv"
    table.write_text("path,patient,mpp\na1.tif,A,\na2.tif,A,0.05\nb1.tif,B,\n")  # a point in the wrong place
    progress = Told()
    run(config, cohort, tmp_path / "out", progress=progress)
    assert "no tile stays of 1 of 3 slides: a2; report.html says why" in progress.lines
    assert "a2" in (tmp_path / "out" / "report.html").read_text()


def test_the_same_command_does_nothing_and_other_settings_are_refused(tmp_path, cohort, config):
    first = run(config, cohort, tmp_path / "out")
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").iterdir()}
    assert run(config, cohort, tmp_path / "out") == first
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "out").iterdir()} == before
    other = config.model_copy(update={"max_background": 0.2})
    with pytest.raises(StaleStage, match=r"config\.max_background"):
        run(other, cohort, tmp_path / "out")
    assert run(other, cohort, tmp_path / "out", redo=True).counts["tiles"] < first.counts["tiles"]


def test_a_changed_slide_and_a_changed_patient_make_the_stage_stale(tmp_path, cohort, config):
    run(config, cohort, tmp_path / "out")
    table = cohort / "slides.csv"
    table.write_text(table.read_text().replace("b1.tif,B", "b1.tif,C"))
    with pytest.raises(StaleStage, match=r"inputs\.slide table"):
        run(config, cohort, tmp_path / "out")
    table.write_text(table.read_text().replace("b1.tif,C", "b1.tif,B"))
    write_slide(cohort / "b1.tif", paint(seed=9))
    with pytest.raises(StaleStage, match=r"inputs\.slide b1"):
        run(config, cohort, tmp_path / "out")


def test_a_run_of_an_earlier_version_is_current_and_a_threshold_makes_it_stale(tmp_path, cohort, config):
    first = run(config, cohort, tmp_path / "out")
    assert "max_blur" not in first.config
    with pytest.raises(StaleStage, match=r"config\.max_blur"):
        run(config.model_copy(update={"max_blur": 0.5}), cohort, tmp_path / "out")


def test_the_other_reasons_are_counted_where_they_occur(tmp_path, cohort, config):
    assert set(run(config, cohort, tmp_path / "plain").counts["dropped"]) == {"background", "unreadable"}
    strict = config.model_copy(update={"min_compartment": 0.999})
    manifest = run(strict, cohort, tmp_path / "out")
    dropped = manifest.counts["dropped"]["compartment"]
    with (tmp_path / "out" / "slides.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert sum(int(line["other"]) for line in lines) == dropped > 0
    for line in lines:
        assert int(line["cells"]) == sum(int(line[kind]) for kind in ("kept", "background", "unreadable", "suspect", "other"))


def test_damaged_and_suspect_cells_are_counted_recorded_and_shown(tmp_path, cohort, config):
    damage(write_slide(cohort / "a1.tif", paint(seed=0), levels=1), tile_index=0)
    pixels, blanked = paint(seed=1), paint(seed=1)
    blanked[200:300, 150:250] = 255
    levels = (
        pixels,
        halved(blanked),
        halved(halved(pixels)),
        halved(halved(halved(pixels))),
    )  # the level that tiles are read from was blanked
    with tifffile.TiffWriter(cohort / "a2.tif") as writer:
        for index, level in enumerate(levels):
            scale = {"resolution": (2e4, 2e4), "resolutionunit": "CENTIMETER"} if index == 0 else {}
            writer.write(level, tile=(64, 64), photometric="rgb", compression="zlib", subfiletype=min(index, 1), metadata=None, **scale)
    coarse = config.model_copy(update={"tile_px": 128, "stride_px": 32, "margin": 1, "mpp": 1.0})
    manifest = run(coarse, cohort, tmp_path / "out")
    with (tmp_path / "out" / "slides.csv").open() as file:
        lines = {line["slide"]: line for line in csv.DictReader(file)}
    assert int(lines["a1"]["unreadable"]) == manifest.counts["dropped"]["unreadable"] > 0
    assert int(lines["a2"]["suspect"]) == manifest.counts["dropped"]["suspect"] > 0
    regions = read_unread(tmp_path / "out" / "unread.csv")
    assert {(region.slide, region.what) for region in regions if region.part == "tile"} == {("a1", "undecodable"), ("a2", "blank")}
    page = (tmp_path / "out" / "report.html").read_text()
    assert "cells are suspect: what was read is not what the overview shows" in page
    assert page.count("tile dropped") == len([region for region in regions if region.part == "tile"])
    readers = read_json(tmp_path / "out" / "provenance.json")["readers"]
    assert all(0 < found["seconds"] < 3600 for found in readers.values())
    assert {slide: found["reader"] for slide, found in readers.items()} == {"a1": "direct", "a2": "direct", "b1": "direct"}
    assert "readers" not in (tmp_path / "out" / "manifest.json").read_text()


def test_equal_runs_give_equal_bytes(tmp_path, cohort, config):
    for name in ("one", "two"):
        run(config, cohort, tmp_path / name)
    assert outputs(tmp_path / "one") == outputs(tmp_path / "two")


def test_stopped_at_any_write_it_resumes_to_the_same_bytes(tmp_path, cohort, config, monkeypatch):
    run(config, cohort, tmp_path / "whole")
    plain, writes = os.replace, []

    def stopping(source, target):
        writes.append(target)
        if len(writes) == stop_at:
            raise KeyboardInterrupt
        plain(source, target)

    monkeypatch.setattr(atomic.os, "replace", stopping)
    stop_at, num_stops = 1, 0
    while True:
        writes.clear()
        try:
            run(config, cohort, tmp_path / "stopped")
            break
        except KeyboardInterrupt:
            num_stops += 1
            stop_at += 0 if num_stops % 2 else 1
    assert num_stops >= 6
    assert outputs(tmp_path / "stopped") == outputs(tmp_path / "whole")


def test_finished_slides_are_not_cut_again(tmp_path, cohort, config, monkeypatch):
    plain, opened = work.open_slide, []

    def counting(path, **kwargs):
        opened.append(path.name)
        if path.name == "b1.tif" and len(opened) == 3:
            raise KeyboardInterrupt
        return plain(path, **kwargs)

    monkeypatch.setattr(work, "open_slide", counting)
    with pytest.raises(KeyboardInterrupt):
        run(config, cohort, tmp_path / "out")
    opened.clear()
    run(config, cohort, tmp_path / "out")
    assert opened == ["b1.tif"]


def test_a_part_that_a_worker_of_an_earlier_job_puts_in_the_place_of_ours_is_not_joined(tmp_path, cohort, config, monkeypatch):
    """A Dask worker goes on with its slide after its client was killed, and the next command may have other settings."""
    run(config, cohort, tmp_path / "whole")
    other = config.model_copy(update={"tile_px": 64})
    (plan,) = (plan for plan in plan_slides(other, base=cohort)[0] if plan.entry.name == "a2")
    join = parts.join_parts

    def late(out, slides, **more):
        work.cut_part(plan, other, out, content_hash(plan.entry.path))
        return join(out, slides, **more)

    with monkeypatch.context() as patch:
        patch.setattr(parts, "join_parts", late)
        with pytest.raises(HdganError, match="the part of a2 was replaced meanwhile by one of other settings"):
            run(config, cohort, tmp_path / "out")
    run(config, cohort, tmp_path / "out")
    assert outputs(tmp_path / "out") == outputs(tmp_path / "whole")


def test_a_full_disk_leaves_nothing_half_written_and_the_same_command_finishes(tmp_path, cohort, config):
    run(config, cohort, tmp_path / "whole")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, before[1]))
    try:
        with pytest.raises(OutOfSpace, match="no space left"):
            run(config, cohort, tmp_path / "full")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list((tmp_path / "full").rglob(".partial-*"))
    assert not (tmp_path / "full" / "manifest.json").exists()
    run(config, cohort, tmp_path / "full")
    assert outputs(tmp_path / "full") == outputs(tmp_path / "whole")


def test_a_broken_slide_stops_the_job_before_anything_is_written(tmp_path, cohort, config):
    (cohort / "bad.svs").write_bytes(b"no slide")
    config = config.model_copy(update={"slides": ("slides.csv", "bad.svs")})
    with pytest.raises(BadInput, match=r"bad\.svs: is a text file"):
        run(config, cohort, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "cut", [run, lambda config, cohort, out, **more: cut_shard(config, Shard(1, 1), out=out, seed=0, base=cohort, **more)]
)
def test_all_broken_slides_are_told_where_the_first_stops_the_job(tmp_path, cohort, config, cut):
    for number in range(30):
        (cohort / f"bad{number:02}.tif").write_bytes(b"no slide")
    ear = Listening()
    with pytest.raises(BadInput, match=r"bad00\.tif: is a text file, not a slide; "):
        cut(config.model_copy(update={"slides": ("*.tif",)}), cohort, tmp_path / "out", progress=ear)
    told = [line for line in ear.lines if line.startswith("cannot be cut: ")]
    assert [f"bad{number:02}.tif: is a text file" in line for number, line in enumerate(told[:-1], start=1)] == [True] * 19
    assert told[-1] == "cannot be cut: 10 more"
    assert ear.lines[-1] == 'to cut the other slides all the same: tiles.broken_slides = "skip"'


def test_a_broken_slide_can_be_left_out_and_is_listed(tmp_path, cohort, config):
    run(config, cohort, tmp_path / "good")
    (cohort / "bad.svs").write_bytes(b"no slide")
    lenient = config.model_copy(update={"slides": ("slides.csv", "bad.svs", "gone.svs"), "broken_slides": "skip"})
    said = []
    listener = Silent()
    listener.say = said.append
    manifest = run(lenient, cohort, tmp_path / "out", progress=listener)
    assert manifest.counts["skipped_slides"] == 2
    assert sorted(line.split(":")[0] for line in said if "svs" in line) == ["left out", "left out"]
    assert "bad.svs" in (tmp_path / "out" / "slides.csv").read_text()
    for name in ("tiles.zip", "tiles.csv", "cells.csv"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "good" / name).read_bytes()


def test_the_same_slide_under_two_names_is_refused(tmp_path, cohort, config):
    shutil.copy(cohort / "a1.tif", cohort / "copy.tif")
    with pytest.raises(BadInput, match="is the same slide as"):
        run(config.model_copy(update={"slides": ("slides.csv", "copy.tif")}), cohort, tmp_path / "out")


def test_no_tile_that_stays_is_an_error_with_the_counts(tmp_path, cohort, config):
    write_slide(cohort / "glass.tif", paint(tissue=(0, 0, 0.02, 0.02)))
    with pytest.raises(BadInput, match=r"no tile stays of \d+: \d+ background, 0 unreadable; raise `max_background`"):
        run(config.model_copy(update={"slides": ("glass.tif",)}), cohort, tmp_path / "out")


def test_slides_smaller_than_a_tile_are_an_error_with_both_sizes(tmp_path, cohort, config):
    with pytest.raises(BadInput, match=r"no slide holds a tile of 2048 x 2048 level-0 px; a1 has 640 x 512"):
        run(config.model_copy(update={"tile_px": 512}), cohort, tmp_path / "out")


@pytest.mark.skipif(not DATA, reason="HDGAN_DATA is not set")
def test_real_jpegs_give_one_stored_tile_each_and_the_biopsy_its_grid(tmp_path):
    table = tmp_path / "slides.csv"
    jpegs = sorted((Path(DATA) / "kidney" / "tiles").glob("*.jpg"))[:3]
    slide = Path(DATA) / "kidney" / "slides" / "biopsy-a.tif"
    areas = slide.with_name("biopsy-a.scanned.csv")
    lines = [f"{path},,donor" for path in jpegs] + [f"{slide},{areas},biopsy"]
    table.write_text("path,areas,patient\n" + "\n".join(lines) + "\n")
    config = TilesConfig(slides=("slides.csv",), mpp=2.0, tile_px=64, margin=2, slide_mpp=0.5, num_folds=2)
    manifest = run(config, tmp_path, tmp_path / "out")
    rows = TileArchive(tmp_path / "out").rows
    assert [row.slide for row in rows if row.patient == "donor"] == [path.stem for path in jpegs]
    assert {(row.level0_px, row.size_px) for row in rows} == {(512, 128)}
    assert manifest.counts["cells"] == 3 + 16 * 4
    assert 30 < sum(row.patient == "biopsy" for row in rows) < 64
    tiles = TileArchive(tmp_path / "out")
    assert all(np.ptp(tiles.read(i)) > 100 for i in range(len(tiles)))
