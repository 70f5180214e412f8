"""What opens slides and images outside of the cutting does so in processes of its own: a decoder that crashes costs a line, or its image."""

from __future__ import annotations

import csv
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hdgan.errors import BadInput
from hdgan.store.archive import TileArchive
from hdgan.store.stage import verify
from hdgan.tiles import image_taking, inspection, live, plan, rebuild
from hdgan.tiles.config import TilesConfig
from hdgan.tiles.images_config import ImagesConfig
from hdgan.tiles.inspection import inspect_apart
from hdgan.tiles.live import open_tiles
from hdgan.tiles.plan import estimate
from hdgan.tiles.pool import ProcessCrew
from hdgan.tiles.rebuild import rebuild_tiles
from hdgan.tiles.stage import run_tiles
from tests.slides.painting import paint, write_slide
from tests.tiles import faults

from .test_stage import outputs

CRASH = "the process that read it was ended by signal 11"


@pytest.fixture
def with_bad(cohort, config):
    """Settings for the cohort and one more slide, `bad`, cut by one worker."""
    write_slide(cohort / "bad.tif", paint(seed=7))
    return config.model_copy(update={"slides": ("slides.csv", "bad.tif"), "workers": 1})


def cut(config, cohort, out, **changes):
    return run_tiles(config.model_copy(update={"workers": 0} | changes), out=out, seed=0, base=cohort)


def test_a_reader_that_crashes_while_tiles_are_stored_again_leaves_them_as_they_were(tmp_path, cohort, with_bad, monkeypatch):
    out = tmp_path / "out"
    cut(with_bad, cohort, out)
    before = outputs(out)
    monkeypatch.setattr(rebuild, "take_part", faults.take_part_but_for_bad)
    with pytest.raises(BadInput, match=rf"bad\.tif: {CRASH}"):
        rebuild_tiles(with_bad, out=out, seed=0, base=cohort, form="jxl")
    assert outputs(out) == before
    assert verify(out) == []
    assert not (out / "parts").exists()
    monkeypatch.undo()
    rebuild_tiles(with_bad, out=out, seed=0, base=cohort)
    assert outputs(out) == before


def test_a_reader_that_crashes_while_slides_are_inspected_or_drawn_costs_its_line(cohort, with_bad, monkeypatch):
    monkeypatch.setattr(inspection, "report_slide", faults.report_but_for_bad)
    found = list(inspect_apart(["*.tif"], base=cohort))
    assert [one.report.name for one in found if not one.report.problem] == ["a1", "a2", "b1"]
    assert f"bad.tif: {CRASH}" in found[-1].report.problem
    monkeypatch.undo()
    monkeypatch.setattr(inspection, "portray_slide", faults.portray_but_for_bad)
    *good, bad = inspect_apart(["a1.tif", "bad.tif"], base=cohort, is_drawn=True)
    assert [one.portrait.picture.ndim for one in good] == [3]
    assert f"bad.tif: {CRASH}" in bad.report.problem
    assert bad.portrait is None


def test_a_reader_that_crashes_is_a_problem_of_the_plan(cohort, with_bad, monkeypatch):
    monkeypatch.setattr(plan, "plan_entry", faults.plan_but_for_bad)
    with ProcessCrew(1) as crew:
        found = estimate(with_bad, base=cohort, crew=crew)
    assert found.num_slides == 3
    assert CRASH in found.problems[0]


@pytest.fixture
def pictures(tmp_path):
    """Settings for six images of 16 bits, of which one is called bad."""
    rng = np.random.default_rng(3)
    for name in ("a", "b", "bad", "c", "d", "e"):
        Image.fromarray(rng.integers(0, 4000, (32, 32), dtype=np.uint16)).save(tmp_path / f"{name}.png")
    sources = tuple(f"{name}.png" for name in ("a", "b", "bad", "c", "d", "e"))
    images = ImagesConfig(window="percentiles")
    return TilesConfig(slides=sources, mpp=0.5, tile_px=32, num_folds=2, images=images, broken_slides="skip", workers=2)


def test_a_decoder_that_crashes_costs_its_image_and_the_others_are_as_without_it(tmp_path, pictures, monkeypatch):
    monkeypatch.setattr(image_taking, "_GROUP", 4)
    run_tiles(
        pictures.model_copy(update={"slides": tuple(s for s in pictures.slides if s != "bad.png")}),
        out=tmp_path / "good",
        seed=0,
        base=tmp_path,
    )
    monkeypatch.setattr(image_taking, "take_image", faults.take_image_but_for_bad)
    monkeypatch.setattr(image_taking, "count_values", faults.count_values_but_for_bad)
    manifest = run_tiles(pictures, out=tmp_path / "out", seed=0, base=tmp_path)
    assert manifest.counts["tiles"] == 5
    for name in ("tiles.zip", "tiles.csv"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "good" / name).read_bytes()
    with (tmp_path / "out" / "images.csv").open() as file:
        (line,) = (line for line in csv.DictReader(file) if line["verdict"] == "left out")
    assert line["image"] == "bad"
    assert CRASH in line["problem"]
    with pytest.raises(BadInput, match=rf"bad\.png: {CRASH}"):
        run_tiles(pictures.model_copy(update={"broken_slides": "stop"}), out=tmp_path / "stopped", seed=0, base=tmp_path)
    assert not (tmp_path / "stopped" / "manifest.json").exists()


def test_workers_take_images_as_this_process_does(tmp_path, pictures):
    for workers in (0, 2):
        run_tiles(pictures.model_copy(update={"workers": workers}), out=tmp_path / str(workers), seed=0, base=tmp_path)
    assert outputs(tmp_path / "0") == outputs(tmp_path / "2")


@pytest.fixture
def unstored(tmp_path, cohort, with_bad):
    """Tiles that are not stored, of slides of which one is called bad; the settings let a process read them."""
    config = with_bad.model_copy(update={"format": "none"})
    cut(config, cohort, tmp_path / "out")
    cut(config, cohort, tmp_path / "stored", format="png")
    return tmp_path / "out", config, TileArchive(tmp_path / "stored")


def test_tiles_that_are_not_stored_are_read_by_a_process_for_each_thread(unstored, cohort, tmp_path, monkeypatch):
    out, config, stored = unstored
    monkeypatch.setattr(live, "read_tile", tell_reader)
    archive = open_tiles(out, config, base=cohort)
    order = list(range(0, len(stored), 3))
    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(archive.read, order))
    assert all(np.array_equal(tile, stored.read(i)) for i, tile in zip(order, found, strict=True))
    readers = {int(path.name.split("-")[1]) for path in cohort.glob("reader-*")}
    assert 1 <= len(readers) <= 2
    assert os.getpid() not in readers


def tell_reader(path, mpp, row, *, progress):
    (Path(path).parent / f"reader-{os.getpid()}").touch()
    return faults.read_tile(path, mpp, row, progress=progress)


def test_a_reader_that_crashes_on_a_tile_is_started_once_more_and_then_the_slide_is_named(unstored, cohort, monkeypatch):
    out, config, stored = unstored
    monkeypatch.setattr(live, "read_tile", faults.read_tile_but_for_bad)
    archive = open_tiles(out, config, base=cohort)
    bad, good = (next(i for i, row in enumerate(stored.rows) if row.slide == name) for name in ("bad", "a1"))
    with pytest.raises(BadInput, match=rf"bad\.tif: {CRASH} \(SIGSEGV\), 2 times"):
        archive.read(bad)
    assert np.array_equal(archive.read(good), stored.read(good))


def test_a_reader_that_crashes_once_costs_nothing(tmp_path, cohort, config, monkeypatch):
    (cohort / "a1.tif").rename(cohort / "once.tif")
    config = config.model_copy(update={"slides": ("once.tif",), "format": "none", "num_folds": 1})
    cut(config, cohort, tmp_path / "out")
    cut(config, cohort, tmp_path / "stored", format="png")
    monkeypatch.setattr(live, "read_tile", faults.read_tile_but_for_bad)
    tile = open_tiles(tmp_path / "out", config.model_copy(update={"workers": None}), base=cohort).read(0)
    assert (cohort / "once.crashed").exists()
    assert np.array_equal(tile, TileArchive(tmp_path / "stored").read(0))


def test_a_slide_that_was_replaced_is_opened_anew(tmp_path, cohort, config):
    config = config.model_copy(update={"slides": ("a1.tif",), "format": "none", "num_folds": 1})
    for seed in (0, 5):
        write_slide(cohort / "a1.tif", paint(seed=seed))
        cut(config, cohort, tmp_path / f"none-{seed}")
        cut(config, cohort, tmp_path / f"png-{seed}", format="png")
        tile = open_tiles(tmp_path / f"none-{seed}", config, base=cohort).read(0)
        assert np.array_equal(tile, TileArchive(tmp_path / f"png-{seed}").read(0))
