"""A slide that ends the process which reads it costs that slide, and the others are as they are without it."""

from __future__ import annotations

import csv

import pytest

from hdgan.errors import BadInput, OutOfSpace
from hdgan.slides.content import content_hash
from hdgan.slides.reader import open_slide
from hdgan.tiles import plan, qc, work
from hdgan.tiles.shards import Shard, cut_shard
from hdgan.tiles.stage import run_tiles
from tests.slides.painting import paint, write_slide
from tests.tiles import faults

from .test_pool import Listening
from .test_stage import outputs

TILES = ("tiles.zip", "tiles.csv", "cells.csv")


@pytest.fixture
def with_bad(cohort, config):
    """Settings for the cohort and one more slide, `bad`."""
    write_slide(cohort / "bad.tif", paint(seed=7))
    return config.model_copy(update={"slides": ("slides.csv", "bad.tif"), "workers": 2, "broken_slides": "skip"})


def run(config, cohort, out, **more):
    return run_tiles(config, out=out, seed=0, base=cohort, **more)


@pytest.mark.parametrize(("module", "name"), [(work, "cut_part"), (plan, "plan_entry")])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_crash_costs_its_slide_alone(tmp_path, cohort, config, with_bad, monkeypatch, module, name, workers):
    run(config, cohort, tmp_path / "good")
    monkeypatch.setattr(module, name, faults.cut_but_for_bad if name == "cut_part" else faults.plan_but_for_bad)
    ear = Listening()
    manifest = run(with_bad.model_copy(update={"workers": workers}), cohort, tmp_path / "out", progress=ear)
    assert manifest.counts["skipped_slides"] == 1
    assert manifest.counts["slides"] == 3
    for file in TILES:
        assert (tmp_path / "out" / file).read_bytes() == (tmp_path / "good" / file).read_bytes()
    with (tmp_path / "out" / "slides.csv").open() as file:
        *_, last = csv.DictReader(file)
    assert last["slide"] == "bad"
    assert "ended by signal 11 (SIGSEGV), 2 times" in last["problem"]
    assert sum("tried once more" in line for line in ear.lines) == 1
    assert sum(line.startswith("left out: ") and "bad.tif" in line for line in ear.lines) == 1
    assert not list((tmp_path / "out").rglob(".partial-*"))
    assert run(with_bad, cohort, tmp_path / "out") == manifest if name == "cut_part" else True


@pytest.mark.parametrize(("module", "name"), [(work, "cut_part"), (plan, "plan_entry")])
def test_a_reader_that_hangs_costs_its_slide_alone(tmp_path, cohort, config, with_bad, monkeypatch, module, name):
    run(config, cohort, tmp_path / "good")
    monkeypatch.setattr(module, name, faults.cut_but_for_slow if name == "cut_part" else faults.plan_but_for_slow)
    impatient = with_bad.model_copy(update={"max_silence_s": 3.0})
    manifest = run(impatient, cohort, tmp_path / "out")
    assert (manifest.counts["slides"], manifest.counts["skipped_slides"]) == (3, 1)
    for file in TILES:
        assert (tmp_path / "out" / file).read_bytes() == (tmp_path / "good" / file).read_bytes()
    with (tmp_path / "out" / "slides.csv").open() as file:
        *_, last = csv.DictReader(file)
    assert last["slide"] == "bad"
    assert "made no progress for 3 s and was ended, 2 times" in last["problem"]
    assert not list((tmp_path / "out").rglob(".partial-*"))


def test_how_patient_the_job_is_changes_no_byte_and_makes_nothing_stale(tmp_path, cohort, config):
    manifest = run(config, cohort, tmp_path / "out")
    assert "max_silence_s" not in manifest.config
    assert run(config.model_copy(update={"max_silence_s": 7.0}), cohort, tmp_path / "out") == manifest


def test_a_crash_stops_the_job_where_broken_slides_do_and_the_same_command_goes_on(tmp_path, cohort, with_bad, monkeypatch):
    stopping = with_bad.model_copy(update={"broken_slides": "stop"})
    run(stopping, cohort, tmp_path / "whole")
    monkeypatch.setattr(work, "cut_part", faults.cut_but_for_bad)
    with pytest.raises(BadInput, match=r"bad\.tif: the process that read it was ended by signal 11"):
        run(stopping, cohort, tmp_path / "out")
    assert not (tmp_path / "out" / "manifest.json").exists()
    assert not list((tmp_path / "out").rglob(".partial-*"))
    monkeypatch.undo()
    run(stopping, cohort, tmp_path / "out")
    assert outputs(tmp_path / "out") == outputs(tmp_path / "whole")


def test_a_full_disk_in_a_worker_ends_the_job_and_the_same_command_finishes(tmp_path, cohort, with_bad, monkeypatch):
    run(with_bad, cohort, tmp_path / "whole")
    monkeypatch.setattr(work, "cut_part", faults.cut_until_full)
    with pytest.raises(OutOfSpace, match="no space left"):
        run(with_bad, cohort, tmp_path / "full")
    assert not list((tmp_path / "full").rglob(".partial-*"))
    monkeypatch.undo()
    run(with_bad, cohort, tmp_path / "full")
    assert outputs(tmp_path / "full") == outputs(tmp_path / "whole")


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_the_number_of_workers_changes_no_byte(tmp_path, cohort, config, workers):
    run(config, cohort, tmp_path / "here")
    run(config.model_copy(update={"workers": workers}), cohort, tmp_path / "there")
    assert outputs(tmp_path / "there") == outputs(tmp_path / "here")


def test_a_reader_that_crashes_on_what_the_sheet_shows_leaves_it_grey(tmp_path, cohort, config, with_bad, monkeypatch):
    monkeypatch.setattr(qc, "thumbs_of", faults.show_but_for_bad)
    ear = Listening()
    manifest = run(with_bad, cohort, tmp_path / "out", progress=ear)
    assert "qc.png" in manifest.outputs
    assert any("some tiles are grey on it" in line for line in ear.lines)


def test_a_slide_that_cannot_be_cut_is_left_out_like_one_that_cannot_be_opened(tmp_path, cohort, with_bad, monkeypatch):
    def opened(path, **settings):
        if path.name == "bad.tif":
            raise BadInput(path, "is damaged throughout", "copy it again")
        return open_slide(path, **settings)

    monkeypatch.setattr(work, "open_slide", opened)
    manifest = run(with_bad.model_copy(update={"workers": 0}), cohort, tmp_path / "out")
    assert manifest.counts["skipped_slides"] == 1
    assert "is damaged throughout; copy it again" in (tmp_path / "out" / "slides.csv").read_text()
    assert "is damaged throughout" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.parametrize("is_share", [False, True])
def test_a_slide_that_opens_and_whose_file_cannot_be_read_to_its_end_is_left_out_too(
    tmp_path, cohort, config, with_bad, monkeypatch, is_share
):
    def hashed(path):
        if path.name == "bad.tif":
            raise BadInput(path, "cannot be read ([Errno 5] Input/output error)")
        return content_hash(path)

    run(config, cohort, tmp_path / "good")
    monkeypatch.setattr(work, "content_hash", hashed)
    here, out = with_bad.model_copy(update={"workers": 0}), tmp_path / "out"
    if is_share:
        done = cut_shard(here, Shard(1, 1), out=out, seed=0, base=cohort)
        assert [str(problem) for problem in done.problems] == [f"{cohort / 'bad.tif'}: cannot be read ([Errno 5] Input/output error)"]
    ear = Listening()
    manifest = run(here, cohort, out, progress=ear)
    assert (manifest.counts["slides"], manifest.counts["left_out_slides"]["names"]) == (3, ["bad"])
    assert sum(line.startswith("left out: ") and "Input/output error" in line for line in ear.lines) == 1
    for file in TILES:
        assert (out / file).read_bytes() == (tmp_path / "good" / file).read_bytes()
    with pytest.raises(BadInput, match="Input/output error"):
        run(here.model_copy(update={"broken_slides": "stop"}), cohort, tmp_path / "stopped")
    with pytest.raises(BadInput, match="Input/output error"):
        run(here.model_copy(update={"slides": ("bad.tif",)}), cohort, tmp_path / "alone")


def test_where_every_slide_crashes_the_job_says_why(tmp_path, cohort, with_bad, monkeypatch):
    monkeypatch.setattr(work, "cut_part", faults.cut_but_for_bad)
    with pytest.raises(BadInput, match="ended by signal 11"):
        run(with_bad.model_copy(update={"slides": ("bad.tif",)}), cohort, tmp_path / "out")
