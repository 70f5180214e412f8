"""Tiles that are copies of a slide's own JPEG tiles, by all ways in which tiles are cut, joined, exported and read."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hdgan.store.archive import TileArchive
from hdgan.store.codec import format_of
from hdgan.store.stylegan_zip import ImageZip
from hdgan.tiles import parts, work
from hdgan.tiles.config import TilesConfig
from hdgan.tiles.export import export_stylegan
from hdgan.tiles.live import open_tiles
from hdgan.tiles.rebuild import rebuild_tiles
from hdgan.tiles.shards import Shard, cut_shard
from hdgan.tiles.stage import run_tiles
from tests.slides.jpeg_painting import write_jpeg_slide
from tests.slides.painting import paint, write_slide

from .test_stage import outputs

FORMATS = ("auto", "raw")


@pytest.fixture
def scans(tmp_path) -> Path:
    """Slides of JPEG tiles in several colours of two patients, and with them the table."""
    folder = tmp_path / "scans"
    folder.mkdir()
    for seed, (name, colour) in enumerate((("a.svs", "4:2:0"), ("b.tif", "4:2:2"), ("c.svs", "rgb"))):
        write_jpeg_slide(folder / name, paint(seed=seed), colour=colour)
    (folder / "slides.csv").write_text("path,patient,centre,stain\na.svs,A,Rome,PAS\nb.tif,A,Rome,HE\nc.svs,B,Pisa,PAS\n")
    return folder


def settings(**changes) -> TilesConfig:
    return TilesConfig(**{"slides": ("slides.csv",), "mpp": 0.5, "tile_px": 128, "num_folds": 2, "workers": 0} | changes)


def cut(scans: Path, out: Path, **changes) -> TileArchive:
    run_tiles(settings(**changes), out=out, seed=0, base=scans)
    return TileArchive(out)


def assert_same_pixels(ours: TileArchive, theirs: TileArchive) -> None:
    assert [(row.slide, row.x_px, row.y_px, row.fold) for row in ours.rows] == [
        (row.slide, row.x_px, row.y_px, row.fold) for row in theirs.rows
    ]
    assert len(ours) > 10
    for i in range(len(ours)):
        assert np.array_equal(ours.read(i), theirs.read(i)), ours.rows[i].name


def forms(archive: TileArchive) -> Counter:
    return Counter((row.slide, format_of(row.name)) for row in archive.rows)


@pytest.fixture
def mixed(scans) -> Path:
    """The same with a slide whose tiles cannot be copied."""
    write_slide(scans / "d.tif", paint(seed=4))
    with (scans / "slides.csv").open("a") as table:
        table.write("d.tif,B,Pisa,HE\n")
    return scans


def test_a_dask_cluster_copies_what_this_process_copies(tmp_path, mixed):
    pytest.importorskip("distributed", reason="the extra `cluster` is not installed")
    archive = cut(mixed, tmp_path / "plain")
    assert {(slide, form) for slide, form in forms(archive)} == {("a", "raw"), ("b", "raw"), ("c", "raw"), ("d", "jxl")}
    told = settings(scheduler="local", workers=2).model_dump_json(by_alias=True)
    code = "import sys\nfrom pathlib import Path\nfrom hdgan.tiles.config import TilesConfig\nfrom hdgan.tiles.stage import run_tiles\n"
    code += "if __name__ == '__main__':\n    run_tiles(TilesConfig.model_validate_json(sys.argv[1]), out=Path(sys.argv[2]), seed=0, base=Path(sys.argv[3]))\n"
    subprocess.run([sys.executable, "-c", code, told, tmp_path / "out", mixed], check=True, timeout=300, cwd=tmp_path)
    assert outputs(tmp_path / "out") == outputs(tmp_path / "plain")


@pytest.mark.parametrize("form", FORMATS)
def test_shares_of_copies_are_joined_to_the_bytes_of_one_job(tmp_path, scans, form, monkeypatch):
    archive = cut(scans, tmp_path / "whole", format=form)
    assert {form for _, form in forms(archive)} == {"raw"}
    config, out = settings(format=form), tmp_path / "out"
    for number in (2, 1):
        done = cut_shard(config, Shard(number, 2), out=out, seed=0, base=scans)
        assert done.problems == ()
    stored = Counter()
    for part in (out / parts.PARTS).iterdir():
        if part.is_dir():
            stored.update(parts.read_status(part).stored)
    assert set(stored) == {"raw"}
    assert stored.total() == len(archive)
    monkeypatch.setattr(work, "open_slide", None)  # joining cuts nothing
    run_tiles(config, out=out, seed=0, base=scans)
    assert outputs(out) == outputs(tmp_path / "whole")


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("is_native", [False, True])
def test_an_export_of_copies_is_that_of_png(tmp_path, scans, form, is_native):
    archives = [cut(scans, tmp_path / name, format=name) for name in (form, "png")]
    told = {"size_px": 32, "tile_px": 96, "folds": {0}, "label": "stain", "is_native": is_native}
    counts = [export_stylegan(archive, tmp_path / f"{i}.zip", **told) for i, archive in enumerate(archives)]
    assert counts[0] == counts[1] > 4
    assert (tmp_path / "0.zip").read_bytes() == (tmp_path / "1.zip").read_bytes()
    exported = ImageZip(tmp_path / "0.zip")
    said = json.loads(exported.read("dataset.json"))
    assert said["label_names"] == sorted({row.stain for row in archives[0].rows if row.fold == 0})
    if is_native:
        first = next(i for i, row in enumerate(archives[0].rows) if row.fold == 0)
        picture = np.asarray(Image.open(io.BytesIO(exported.read(min(n for n in exported.members if n.endswith(".png"))))))
        assert np.array_equal(picture, archives[0].read(first)[16:48, 16:48])


@pytest.mark.parametrize("form", FORMATS)
def test_tiles_that_are_not_stored_have_the_pixels_of_copies(tmp_path, scans, form):
    copied = cut(scans, tmp_path / "copied", format=form)
    cut(scans, tmp_path / "none", format="none")
    with closing(open_tiles(tmp_path / "none", settings(format="none"), base=scans)) as unstored:
        assert_same_pixels(unstored, copied)
    assert (tmp_path / "none" / "tiles.zip").stat().st_size < 100


def test_copies_that_are_thrown_away_and_stored_again_are_the_same_bytes(tmp_path, mixed):
    out = tmp_path / "out"
    before = forms(cut(mixed, out))
    first = outputs(out)
    pixels = [TileArchive(out).read(i) for i in range(before.total())]
    rebuild_tiles(settings(), out=out, seed=0, base=mixed, form="none")
    with closing(open_tiles(out, settings(format="none"), base=mixed)) as unstored:
        assert all(np.array_equal(unstored.read(i), tile) for i, tile in enumerate(pixels))
    rebuild_tiles(settings(), out=out, seed=0, base=mixed)
    assert outputs(out) == first


def test_copies_of_another_level_are_read_exported_and_joined_alike(tmp_path, scans):
    copied = cut(scans, tmp_path / "whole", mpp=1.0, tile_px=64)
    assert {form for _, form in forms(copied)} == {"raw"}
    config, out = settings(mpp=1.0, tile_px=64), tmp_path / "out"
    for number in (1, 2, 3):
        cut_shard(config, Shard(number, 3), out=out, seed=0, base=scans)
    run_tiles(config, out=out, seed=0, base=scans)
    assert outputs(out) == outputs(tmp_path / "whole")
    cut(scans, tmp_path / "none", mpp=1.0, tile_px=64, format="none")
    with closing(open_tiles(tmp_path / "none", settings(mpp=1.0, tile_px=64, format="none"), base=scans)) as unstored:
        assert_same_pixels(unstored, copied)
        for name, archive in (("copied", copied), ("none", unstored)):
            export_stylegan(archive, tmp_path / f"{name}.zip", size_px=32, tile_px=64)
    assert (tmp_path / "copied.zip").read_bytes() == (tmp_path / "none.zip").read_bytes()
