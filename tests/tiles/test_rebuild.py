from __future__ import annotations

import pickle
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from multiprocessing import get_context

import numpy as np
import pytest

from hdgan.errors import BadInput, DamagedArtifact, StaleStage
from hdgan.generator.crops import Crops
from hdgan.store import atomic
from hdgan.store.archive import TileArchive
from hdgan.store.hashing import hash_file
from hdgan.store.stage import MANIFEST, manifest_hash, verify
from hdgan.tiles.live import open_tiles
from hdgan.tiles.rebuild import rebuild_tiles
from hdgan.tiles.stage import run_tiles
from tests.slides.jpeg_painting import write_jpeg_slide
from tests.slides.painting import paint, write_slide


@pytest.fixture
def cohort(cohort):
    for seed, name in enumerate(("a1", "a2", "b1")):
        write_jpeg_slide(cohort / f"{name}.tif", paint(320, 256, seed=seed), tile=32)
    return cohort


@pytest.fixture
def config(config):
    return config.model_copy(update={"tile_px": 32, "margin": 1.0, "stride_px": None})


def cut(config, cohort, out):
    return run_tiles(config, out=out, seed=0, base=cohort)


def rebuild(config, cohort, out, **settings):
    return rebuild_tiles(config, out=out, seed=0, base=cohort, **settings)


def everything(folder):
    files = (path for path in folder.rglob("*") if path.is_file() and path.name not in ("provenance.json", ".lock"))
    return {path.relative_to(folder): path.read_bytes() for path in files}


def pixels(archive):
    return [archive.read(i) for i in range(len(archive))]


@pytest.mark.parametrize("form", ["auto", "png", "jxl", "jpeg", "raw", "none"])
def test_lost_tiles_come_back_byte_by_byte(tmp_path, cohort, config, form):
    config = config.model_copy(update={"format": form})
    cut(config, cohort, tmp_path / "out")
    before = everything(tmp_path / "out")
    (tmp_path / "out" / "tiles.zip").unlink()
    rebuild(config, cohort, tmp_path / "out")
    assert everything(tmp_path / "out") == before
    assert verify(tmp_path / "out") == []


def test_from_one_lossless_format_to_the_others_and_back_no_pixel_and_no_identity_changes(tmp_path, cohort, config):
    config = config.model_copy(update={"format": "raw"})
    out = tmp_path / "out"
    cut(config, cohort, out)
    before, identity, seen = everything(out), manifest_hash(out), pixels(TileArchive(out))
    sizes = {}
    for form in ("jxl", "none", "png", "raw"):
        rebuild(config, cohort, out, form=form)
        with closing(open_tiles(out, config, base=cohort)) as archive:
            assert all(np.array_equal(a, b) for a, b in zip(pixels(archive), seen, strict=True))
        assert manifest_hash(out) == identity
        assert verify(out) == []
        assert cut(config, cohort, out).counts["tiles"] == len(seen)
        sizes[form] = (out / "tiles.zip").stat().st_size
    assert everything(out) == before
    assert sizes["none"] < 100
    assert sizes["raw"] < sizes["png"]


def test_a_lossy_copy_is_another_content_until_it_is_stored_without_loss_again(tmp_path, cohort, config):
    out = tmp_path / "out"
    cut(config, cohort, out)
    before, identity = everything(out), manifest_hash(out)
    rebuild(config, cohort, out, form="jpeg")
    assert verify(out) == []
    assert manifest_hash(out) != identity
    rebuild(config, cohort, out, form="jxl")
    assert manifest_hash(out) == identity
    rebuild(config, cohort, out)
    assert everything(out) == before


def test_the_index_of_an_interrupted_rebuild_is_good_for_the_next(tmp_path, cohort, config, monkeypatch):
    out = tmp_path / "out"
    cut(config, cohort, out)
    before, plain = everything(out), atomic.os.replace

    def stopping(source, target):
        if target.name == MANIFEST:
            raise KeyboardInterrupt
        plain(source, target)

    monkeypatch.setattr(atomic.os, "replace", stopping)
    with pytest.raises(KeyboardInterrupt):
        rebuild(config, cohort, out, form="jxl")
    monkeypatch.undo()
    rebuild(config, cohort, out)
    assert everything(out) == before


def test_a_changed_index_and_a_changed_slide_are_refused(tmp_path, cohort, config):
    out = tmp_path / "out"
    cut(config, cohort, out)
    index = (out / "tiles.csv").read_text()
    (out / "tiles.csv").write_text(index.replace("x000064", "x000065").replace(",64,", ",65,"))
    with pytest.raises(DamagedArtifact, match=r"tiles\.csv: was changed since it was written"):
        rebuild(config, cohort, out)
    (out / "tiles.csv").write_text(index)
    write_slide(cohort / "b1.tif", paint(320, 256, seed=9))
    with pytest.raises(StaleStage, match=r"inputs\.slide b1"):
        rebuild(config, cohort, out)


def test_tiles_cut_off_the_grid_cannot_become_raw_copies(tmp_path, cohort, config):
    config = config.model_copy(update={"stride_px": 20})
    cut(config, cohort, tmp_path / "out")
    with pytest.raises(BadInput, match=r"were not cut on the grid of its JPEG tiles \(64 x 64 level-0 px\)"):
        rebuild(config, cohort, tmp_path / "out", form="raw")


def test_an_unfinished_stage_cannot_be_rebuilt(tmp_path, cohort, config):
    with pytest.raises(BadInput, match="has not been finished"):
        rebuild(config, cohort, tmp_path / "out")


def test_how_tiles_are_stored_without_loss_makes_no_run_stale(tmp_path, cohort, config):
    manifest = cut(config, cohort, tmp_path / "out")
    for form in ("jxl", "none"):
        assert cut(config.model_copy(update={"format": form}), cohort, tmp_path / "out") == manifest
    for form in ("jpeg", "raw"):
        with pytest.raises(StaleStage, match=r"config\.format"):
            cut(config.model_copy(update={"format": form}), cohort, tmp_path / "out")


def test_unstored_tiles_are_read_from_the_slides_by_threads_processes_and_the_generators_crops(tmp_path, cohort, config):
    cut(config, cohort, tmp_path / "stored")
    manifest = cut(config.model_copy(update={"format": "none"}), cohort, tmp_path / "out")
    assert manifest.outputs["cells.csv"] == hash_file(tmp_path / "stored" / "cells.csv")
    archive, stored = open_tiles(tmp_path / "out", config, base=cohort), TileArchive(tmp_path / "stored")
    order = list(range(len(stored))) * 2
    with ThreadPoolExecutor(3) as threads:
        found = list(threads.map(archive.read, order))
    assert all(np.array_equal(a, stored.read(i)) for i, a in zip(order, found, strict=True))
    with get_context("spawn").Pool(1) as pool:
        assert np.array_equal(pool.apply(archive.read, (3,)), stored.read(3))
    assert np.array_equal(pickle.loads(pickle.dumps(archive)).read(1), stored.read(1))
    crops = [Crops(tiles, chosen=range(len(stored)), size_px=16, seed=3).batch(0, 8) for tiles in (archive, stored)]
    assert np.array_equal(*crops)


def test_unstored_tiles_without_their_slides_are_one_clear_line(tmp_path, cohort, config):
    config = config.model_copy(update={"format": "none"})
    cut(config, cohort, tmp_path / "out")
    with pytest.raises(BadInput, match=r"is not stored, and the slides are not at hand; .*--rebuild --format png"):
        TileArchive(tmp_path / "out").read(0)
    shutil.copy(cohort / "b1.tif", cohort / "a1.tif")
    with pytest.raises(BadInput, match="is another file than the slide that was cut"):
        open_tiles(tmp_path / "out", config, base=cohort).read(0)
    other = config.model_copy(update={"slides": ("b1.tif",)})
    with pytest.raises(BadInput, match="slide a1 is not among those of the settings"):
        open_tiles(tmp_path / "out", other, base=cohort).read(0)
