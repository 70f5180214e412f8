"""Tiles asked for by magnification or by level instead of by mpp."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from hdgan.errors import BadInput, StaleStage
from hdgan.store.archive import TileArchive
from hdgan.store.stage import read_manifest
from hdgan.tiles.config import TilesConfig
from hdgan.tiles.images_config import ImagesConfig
from hdgan.tiles.plan import plan_slides, scaled
from hdgan.tiles.rebuild import rebuild_tiles
from hdgan.tiles.stage import run_tiles
from tests.slides.painting import halved, paint, write_coded, write_slide

BASE = {"slides": ("*.svs",), "tile_px": 64, "num_folds": 1}


def asked(**settings):
    return TilesConfig(**{**BASE, **settings})


@pytest.fixture
def svs(tmp_path):
    """A slide of x40 and 0.25 um/px with three levels."""
    write_coded(tmp_path / "a.svs", paint(), codec="stored", levels=3, is_aperio=True)
    return tmp_path


def cut(config, base, out="out"):
    run_tiles(config, out=base / out, seed=0, base=base)
    return TileArchive(base / out)


def test_a_magnification_gives_the_tiles_of_its_mpp(svs):
    by_mpp, by_objective, by_level = (
        cut(asked(**scale), svs, name) for name, scale in (("m", {"mpp": 0.5}), ("x", {"magnification": 20}), ("l", {"level": 1}))
    )
    assert by_mpp.mpp == by_objective.mpp == by_level.mpp == 0.5
    assert by_mpp.rows == by_objective.rows == by_level.rows
    assert np.array_equal(by_mpp.read(0), by_objective.read(0))
    assert np.array_equal(by_mpp.read(0), by_level.read(0))
    assert np.array_equal(by_level.read(0), halved(paint())[by_level.rows[0].y_px // 2 :][:64, by_level.rows[0].x_px // 2 :][:, :64])


def test_the_manifest_says_how_it_was_asked_and_the_same_question_is_current(svs):
    cut(asked(magnification=20), svs)
    recorded = read_manifest(svs / "out").config
    assert (recorded["magnification"], recorded["mpp"]) == (20, None)
    assert "level" not in recorded
    assert asked(magnification=20).recorded() == recorded
    assert run_tiles(asked(magnification=20), out=svs / "out", seed=0, base=svs) == read_manifest(svs / "out")
    with pytest.raises(StaleStage):
        run_tiles(asked(magnification=10), out=svs / "out", seed=0, base=svs)
    archive = TileArchive(svs / "out")
    first = archive.encoded(0)
    (svs / "out" / "tiles.zip").unlink()
    rebuild_tiles(asked(magnification=20), out=svs / "out", seed=0, base=svs)
    assert TileArchive(svs / "out").encoded(0) == first


def test_slides_within_two_percent_have_one_scale_and_each_is_cut_pixel_by_pixel(tmp_path):
    for name, mpp in (("a", 0.25), ("b", 0.2525)):
        write_slide(tmp_path / f"{name}.tif", paint(), mpp=mpp)
    config = asked(slides=("*.tif",), level=1)
    plans, problems = plan_slides(config, base=tmp_path)
    assert problems == ()
    assert [plan.level0_px for plan in plans] == [128, 128]
    assert scaled(config, plans).mpp == pytest.approx(0.505)
    assert cut(config, tmp_path).mpp == pytest.approx(0.505)


def test_slides_whose_scales_differ_are_refused_with_the_mpp_to_ask_for(tmp_path):
    for name, mpp in (("a", 0.25), ("b", 0.5)):
        write_slide(tmp_path / f"{name}.tif", paint(), mpp=mpp)
    with pytest.raises(BadInput, match=r"b\.tif: level 1 is 1 um/px, and 0\.5 on a: tiles have one scale; ask for mpp = 1"):
        cut(asked(slides=("*.tif",), level=1), tmp_path)


def test_a_slide_without_objective_or_level_is_refused_or_skipped(svs):
    write_slide(svs / "b.tif", paint(), mpp=0.25, levels=2)
    both = {"slides": ("*.svs", "*.tif")}
    with pytest.raises(BadInput, match=r"b\.tif: does not state the magnification of its objective; ask for a scale in um/px"):
        cut(asked(**both, magnification=20), svs)
    with pytest.raises(BadInput, match=r"b\.tif: has no level 2"):
        cut(asked(**both, level=2), svs)
    archive = cut(asked(**both, magnification=20, broken_slides="skip"), svs)
    assert {row.slide for row in archive.rows} == {"a"}


def test_a_threshold_that_the_found_scale_cannot_show_is_refused(svs):
    with pytest.raises(BadInput, match=r"x4 is 2\.5 um/px: .*max_blur needs tiles of at most 2 um/px"):
        cut(asked(magnification=4, max_blur=0.5, tile_px=16), svs)


@pytest.mark.parametrize("given", [{}, {"mpp": 0.5, "level": 0}, {"magnification": 20, "level": 0}, {"level": -1}, {"magnification": 0}])
def test_exactly_one_scale_is_given(given):
    with pytest.raises(ValidationError):
        asked(**given)
    with pytest.raises(ValidationError, match="have an mpp"):
        asked(level=0, images=ImagesConfig())


def test_the_scale_is_told_as_it_was_asked():
    assert [asked(**scale).scale_text for scale in ({"mpp": 0.5}, {"magnification": 20}, {"level": 1})] == ["0.5 um/px", "x20", "level 1"]
