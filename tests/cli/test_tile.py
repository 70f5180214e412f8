from __future__ import annotations

import gc
import json
import zipfile
from contextlib import closing

import numpy as np
import pytest
import tifffile

from hdgan.cli.tile import NEW_CONTAINERS, collect_rarely
from hdgan.errors import BadInput
from hdgan.pipeline.run import open_run
from hdgan.slides.reader import open_slide
from hdgan.tiles import work
from hdgan.tiles.code import code_hash
from tests.slides.jpeg_painting import write_jpeg_slide
from tests.slides.painting import paint, write_slide

SETTINGS = '[run]\nname = "x"\n[tiles]\nslides = ["a.tif"]\nmpp = 1.0\ntile_px = 64\nnum_folds = 1\n[generator]\nresolution = 64\n'


@pytest.fixture
def run(tmp_path):
    write_slide(tmp_path / "a.tif", paint())
    (tmp_path / "x.toml").write_text(SETTINGS)
    return tmp_path / "run"


def test_tiles_are_stored_again_in_another_format(hdgan, run):
    assert hdgan("tile", str(run), "--config", str(run.parent / "x.toml"))[0] == 0
    before = (run / "1-tiles" / "tiles.zip").read_bytes()
    code, out, _ = hdgan("tile", str(run), "--rebuild", "--format", "jxl")
    assert code == 0
    assert "stored as jxl" in out
    assert ".jxl," in (run / "1-tiles" / "tiles.csv").read_text()
    assert hdgan("verify", str(run))[0] == 0
    assert hdgan("tile", str(run), "--rebuild")[0] == 0
    assert (run / "1-tiles" / "tiles.zip").read_bytes() == before


def test_an_unknown_format_and_one_without_rebuild_are_refused(hdgan, run):
    code, _, said = hdgan("tile", str(run), "--rebuild", "--format", "bmp")
    assert code == 2
    assert "is none of auto, png" in " ".join(said.split())
    code, _, said = hdgan("tile", str(run), "--format", "png")
    assert code == 2
    assert "goes with --rebuild" in " ".join(said.split())


def test_tiles_go_to_a_stylegan_zip_and_nothing_is_written_over(hdgan, refused, run):
    assert hdgan("tile", str(run), "--config", str(run.parent / "x.toml"))[0] == 0
    out = run.parent / "set.zip"
    code, said, _ = hdgan("export-tiles", str(run), "--size", "32", "--folds", "0", "--out", str(out))
    assert code == 0
    assert "images of 32 px" in said
    assert len(zipfile.ZipFile(out).namelist()) > 2
    assert "exists; choose another name" in refused("export-tiles", str(run), "--size", "32", "--out", str(out))


def test_a_run_whose_tiles_are_not_stored_gives_them_all_the_same(hdgan, run):
    assert hdgan("tile", str(run), "--config", str(run.parent / "x.toml"))[0] == 0
    with closing(open_run(run).open_tiles()) as stored:
        before = [stored.read(i) for i in range(len(stored))]
    assert hdgan("tile", str(run), "--rebuild", "--format", "none")[0] == 0
    with closing(open_run(run).open_tiles()) as unstored:
        assert all(np.array_equal(unstored.read(i), tile) for i, tile in enumerate(before))
    assert (run / "1-tiles" / "tiles.zip").stat().st_size < 100
    code, said, _ = hdgan("tile", str(run))
    assert code == 0
    assert "current, nothing to do" in said


def test_strict_tiles_are_asked_for_silent_damage(hdgan, tmp_path):
    path = write_jpeg_slide(tmp_path / "a.tif", paint(512, 384, tissue=(0, 0, 1, 1)), tile=128, levels=1)
    with tifffile.TiffFile(path) as tiff:
        middle = tiff.pages[0].dataoffsets[5] + tiff.pages[0].databytecounts[5] // 2
    data = bytearray(path.read_bytes())
    data[middle : middle + 60] = bytes(60)
    path.write_bytes(bytes(data))
    (tmp_path / "x.toml").write_text(SETTINGS.replace("mpp = 1.0", "mpp = 0.5"))
    for name, options in (("plain", ()), ("strict", ("--strict",))):
        assert hdgan("tile", str(tmp_path / name), "--config", str(tmp_path / "x.toml"), *options)[0] == 0
    found = [(tmp_path / name / "1-tiles" / "unread.csv").read_text() for name in ("plain", "strict")]
    assert found[0].count("\n") == 1
    assert found[1].count("decoder complains") == 4  # tiles of 64 px in a JPEG tile of 128 px
    assert '"strict": true' in (tmp_path / "strict" / "1-tiles" / "manifest.json").read_text()
    readers = json.loads((tmp_path / "plain" / "1-tiles" / "provenance.json").read_text())["readers"]
    assert readers["a"]["reader"] == "direct"
    assert "pixels equal to OpenSlide's" in readers["a"]["reason"]


def test_what_other_code_cut_is_cut_anew_where_that_is_asked(hdgan, run):
    assert hdgan("tile", str(run), "--config", str(run.parent / "x.toml"))[0] == 0
    path = run / "1-tiles" / "provenance.json"
    path.write_text(path.read_text().replace(code_hash(), "feed"))
    manifest = (run / "1-tiles" / "manifest.json").read_bytes()
    assert "current, nothing to do" in hdgan("tile", str(run))[1]
    assert "done in" in hdgan("tile", str(run), "--recut-changed-code")[1]
    assert code_hash() in path.read_text()
    assert (run / "1-tiles" / "manifest.json").read_bytes() == manifest
    code, _, said = hdgan("tile", str(run), "--rebuild", "--recut-changed-code")
    assert code == 2
    assert "is for cutting" in " ".join(said.split())


def test_what_was_left_out_when_the_others_were_cut_is_tried_again_where_that_is_asked(hdgan, run, monkeypatch):
    def failing(path, **settings):
        if path.name == "b.tif":
            raise BadInput(path, "was ended by SIGKILL", "memory may have been short")
        return open_slide(path, **settings)

    settings = run.parent / "x.toml"
    write_slide(run.parent / "b.tif", paint(seed=1))
    settings.write_text(SETTINGS.replace('slides = ["a.tif"]', 'slides = ["a.tif", "b.tif"]\nbroken_slides = "skip"\nworkers = 0'))
    with monkeypatch.context() as patch:
        patch.setattr(work, "open_slide", failing)
        assert hdgan("tile", str(run), "--config", str(settings))[0] == 0
    code, said, told = hdgan("tile", str(run))
    assert (code, "current, nothing to do" in said) == (0, True)
    assert "1 left out when the others were cut: b; --retry-left-out tries again" in told
    assert "done in" in hdgan("tile", str(run), "--retry-left-out")[1]
    assert "current, nothing to do" in hdgan("tile", str(run), "--retry-left-out")[1]
    for flags in (("--rebuild",), ("--shard", "1/2")):
        code, _, said = hdgan("tile", str(run), "--retry-left-out", *flags)
        assert (code, "is for the whole stage" in " ".join(said.split())) == (2, True)


@pytest.mark.parametrize(("before", "after"), [(700, NEW_CONTAINERS), (NEW_CONTAINERS + 1, NEW_CONTAINERS + 1), (0, 0)])
def test_cycles_are_looked_for_rarely_and_never_more_often_than_asked(before, after):
    found = gc.get_threshold()
    try:
        gc.set_threshold(before, 7, 9)
        collect_rarely()
        assert gc.get_threshold() == (after, 7, 9)
    finally:
        gc.set_threshold(*found)


def test_strict_is_for_cutting(hdgan, run):
    code, _, said = hdgan("tile", str(run), "--rebuild", "--strict")
    assert code == 2
    assert "is for cutting" in " ".join(said.split())
