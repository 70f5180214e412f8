from __future__ import annotations

import pytest

from hdgan.store.atomic import read_image
from hdgan.tiles.config import TilesConfig
from hdgan.tiles.stage import run_tiles
from tests.slides.painting import paint, write_slide


@pytest.fixture
def run(tmp_path):
    """The folder of a run with finished tiles of one slide."""
    write_slide(tmp_path / "a.tif", paint())
    config = TilesConfig(slides=("a.tif",), mpp=1.0, tile_px=32, margin=2, stride_px=32, num_folds=1)
    run_tiles(config, out=tmp_path / "run" / "1-tiles", seed=0, base=tmp_path)
    return tmp_path / "run"


def test_what_if_prints_a_table_and_changes_nothing(run, hdgan):
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    code, said, _ = hdgan("tile", run, "--what-if")
    lines = said.splitlines()
    assert code == 0
    assert lines[1].split() == ["cells", "at", "0.3", "at", "0.5", "at", "0.7"]
    assert [line.split()[0] for line in lines[2:]] == ["all", "stain", "centre", "patient"]
    _, total, *kept = lines[2].split()
    assert 0 < int(kept[0]) < int(kept[1]) < int(kept[2]) < int(total)
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before


def test_what_if_takes_thresholds_of_ones_own(run, hdgan):
    _, said, _ = hdgan("tile", run, "--what-if", "--at", "0", "--at", "1")
    _, total, none, every = said.splitlines()[2].split()
    assert int(none) < int(every) == int(total)


def test_what_if_without_tiles_and_thresholds_without_it_are_refused(tmp_path, run, refused):
    assert "has not been finished" in refused("tile", tmp_path / "nothing", "--what-if")
    assert "no share of background" in refused("tile", run, "--what-if", "--at", "30")
    assert "needs --what-if" in refused("tile", run, "--at", "0.3")


def test_inspect_draws_each_slide_where_asked_to(tmp_path, run, hdgan):
    code, said, _ = hdgan("inspect", tmp_path / "a.tif", "--pictures", tmp_path / "pictures")
    assert code == 0
    assert "white (24" in said
    assert "pen 0.0%, black 0.0%" in said
    assert read_image(tmp_path / "pictures" / "a.png").shape[1] >= 480
