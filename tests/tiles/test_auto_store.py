"""The default store, `auto`: no pixel and no corner is another than with `png`."""

from __future__ import annotations

import json
import os
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from hdgan.slides.reader import open_slide
from hdgan.slides.table import SlideEntry
from hdgan.store.archive import TileArchive
from hdgan.store.codec import decode, format_of
from hdgan.store.stage import read_manifest
from hdgan.tiles import encode
from hdgan.tiles.config import TilesConfig
from hdgan.tiles.copying import copying
from hdgan.tiles.cut import cut_slide
from hdgan.tiles.encode import FITS, tile_source
from hdgan.tiles.plan import estimate, plan_slide
from hdgan.tiles.raw_copy import JpegTiles
from hdgan.tiles.rebuild import rebuild_tiles
from hdgan.tiles.stage import run_tiles
from hdgan.tiles.what_if import what_if
from tests.slides.jpeg_painting import COLOURS, write_jpeg_slide
from tests.slides.outlining import square, write_qupath
from tests.slides.painting import paint, write_slide

DATA = os.environ.get("HDGAN_DATA")


def config_of(**given_settings) -> TilesConfig:
    return TilesConfig(**{"slides": ("s",), "mpp": 0.5, "tile_px": 128, "max_background": 1.0} | given_settings)


def cut(path: Path, config: TilesConfig, entry: SlideEntry | None = None):
    """Storing, and what was cut: cells, and tiles as (index, pixels) by the stem of their names."""
    with closing(open_slide(path)) as slide:
        plan = plan_slide(slide, entry or SlideEntry(path.stem, path, patient="p"), config)
        unread: list = []
        with closing(tile_source(slide, plan, config)) as source:
            found = list(cut_slide(slide, plan, config, source=source, unread=unread))
            return source.storing, found, unread


def assert_equal(path: Path, entry: SlideEntry | None = None, **given_settings):
    """`auto` and `png` cut the same; the storing of `auto` and the formats of its tiles."""
    _, plain, plain_unread = cut(path, config_of(format="png", **given_settings), entry)
    storing, found, unread = cut(path, config_of(**given_settings), entry)
    assert [cell for cell, _ in found] == [cell for cell, _ in plain]
    assert unread == plain_unread
    forms = []
    for (_, ours), (_, theirs) in zip(found, plain, strict=True):
        assert (ours is None) == (theirs is None)
        if ours is not None:
            form = format_of(ours.row.name)
            assert np.array_equal(decode(ours.encoded, form), decode(theirs.encoded, "png"))
            forms.append(form)
    return storing, forms


def test_auto_is_the_default_and_recorded_as_png():
    assert TilesConfig(slides=("s",), mpp=1.0, tile_px=64).format == "auto"
    assert config_of().recorded() == config_of(format="png").recorded()
    assert config_of().recorded()["format"] == "png"


@settings(max_examples=12)
@given(
    colour=st.sampled_from(list(COLOURS)),
    jpeg_px=st.sampled_from([48, 64, 96]),
    tile_px=st.sampled_from([40, 64, 96, 128, 144]),
    stride_px=st.sampled_from([None, 48, 64, 96, 192]),
    mpp=st.sampled_from([0.5, 0.505, 0.7, 1.0, 2.0]),
    suffix=st.sampled_from([".tif", ".svs"]),
)
def test_auto_has_the_cells_and_pixels_of_png_on_any_grid(tmp_path_factory, colour, jpeg_px, tile_px, stride_px, mpp, suffix):
    path = tmp_path_factory.mktemp("slide") / f"a{suffix}"
    write_jpeg_slide(path, paint(448, 384), colour=colour, tile=jpeg_px)
    storing, forms = assert_equal(path, tile_px=tile_px, stride_px=stride_px, mpp=mpp)
    assert set(forms) <= {storing.store}
    step, level_px = stride_px or tile_px, round(448 * 0.5 / mpp)
    is_level, is_one_cell = mpp in (0.5, 0.505, 1.0), level_px < tile_px + step and round(384 * 0.5 / mpp) < tile_px + step
    is_on_grid = step % jpeg_px == 0 or is_one_cell
    is_lean = (-(-tile_px // jpeg_px) * jpeg_px) ** 2 <= 2 * tile_px**2
    if forms:
        assert storing.store == ("raw" if is_level and is_on_grid and is_lean else "jxl"), storing


def test_tiles_on_the_grid_are_copied_and_take_less_than_half_of_png(tmp_path):
    path = write_jpeg_slide(tmp_path / "a.tif")
    storing, forms = assert_equal(path)
    assert (storing.store, storing.reason) == ("raw", FITS)
    assert set(forms) == {"raw"}
    sizes = {form: sum(len(tile.encoded) for _, tile in cut(path, config_of(format=form))[1] if tile) for form in ("auto", "png")}
    assert sizes["auto"] < 0.5 * sizes["png"]


@pytest.mark.parametrize(
    ("write", "given_settings", "reason"),
    [
        (lambda path: write_jpeg_slide(path, tile=48), {}, "the tile at x 128, y 0 is not on their grid of 48 x 48 level-0 px"),
        (
            lambda path: write_jpeg_slide(path, paint(960, 960), tile=240),
            {"tile_px": 256},
            "the tile at x 256, y 0 is not on their grid of 240 x",
        ),
        (lambda path: write_jpeg_slide(path), {"mpp": 0.75, "tile_px": 64}, "no level has 0.75 um/px (they have 0.5, 1)"),
        (lambda path: write_jpeg_slide(path), {"mpp": 1.01, "tile_px": 64}, "a tile of 64 px takes 129 level-0 px"),
        (lambda path: write_jpeg_slide(path), {"tile_px": 65, "stride_px": 64}, "more than half would be waste"),
        (lambda path: write_slide(path, paint()), {}, "its tiles are stored as ADOBE_DEFLATE, not as JPEG"),
        (lambda path: Image.fromarray(paint()).save(path), {"slide_mpp": 0.5}, "a slide of format image is not made of JPEG tiles"),
        (lambda path: write_jpeg_slide(path, paint(641, 513)), {"mpp": 1.0}, "which is no whole number"),
    ],
)
def test_what_does_not_fit_is_stored_as_jpeg_xl_and_the_reason_is_said(tmp_path, write, given_settings, reason):
    write(tmp_path / "a.tif")
    storing, forms = assert_equal(tmp_path / "a.tif", **given_settings)
    assert set(forms) == {"jxl"}
    assert storing.store == "jxl"
    assert reason in storing.reason


def test_tiles_around_objects_stay_where_they_are(tmp_path):
    path = write_jpeg_slide(tmp_path / "a.tif")
    regions = write_qupath(tmp_path / "a.geojson", [("glomerulus", square(200, 200, 60))])
    entry = SlideEntry("a", path, patient="p", regions=regions)
    storing, forms = assert_equal(path, entry, placement={"way": "centred"})
    assert forms == ["jxl"]
    assert "is not on their grid" in storing.reason


def test_a_part_that_was_never_scanned_is_read_and_stored_as_jpeg_xl(tmp_path, monkeypatch):
    path = write_jpeg_slide(tmp_path / "a.tif")
    plain = JpegTiles._stream
    monkeypatch.setattr(JpegTiles, "_stream", lambda self, index: b"" if index == 0 else plain(self, index))
    _, forms = assert_equal(path)
    assert forms == ["jxl", *["raw"] * (len(forms) - 1)]


def test_damaged_tiles_are_recorded_as_with_png(tmp_path):
    path = write_jpeg_slide(tmp_path / "a.tif", levels=1)
    with tifffile.TiffFile(path) as tiff:
        places = list(zip(tiff.pages[0].dataoffsets, tiff.pages[0].databytecounts, strict=True))
    data = bytearray(path.read_bytes())
    for offset, num in (places[0], places[27]):
        data[offset + num // 2 : offset + num] = bytes(num - num // 2)
    path.write_bytes(bytes(data))
    assert_equal(path, tile_px=64, strict=True)
    storing, forms = assert_equal(path, tile_px=64)
    assert storing.store == "raw"
    assert set(forms) == {"raw"}
    assert len(forms) == len(places) - 2


def test_copies_that_were_not_decoded_by_the_reader_are_compared_one_by_one(tmp_path, monkeypatch):
    path = write_jpeg_slide(tmp_path / "a.tif")
    init = encode.FaithfulCopies.__init__

    def doubting(self, copies):
        init(self, copies)
        self._has_decoded = False

    monkeypatch.setattr(encode.FaithfulCopies, "__init__", doubting)
    assert set(assert_equal(path)[1]) == {"raw"}
    plain, num = encode.decode, iter(range(1000))
    monkeypatch.setattr(encode, "decode", lambda data, form: plain(data, form) ^ (next(num) % 2))  # the probe is the first
    forms = assert_equal(path)[1]
    assert {"raw", "jxl"} == set(forms)


def test_a_slide_whose_copies_have_other_pixels_is_stored_as_jpeg_xl(tmp_path, monkeypatch):
    path = write_jpeg_slide(tmp_path / "a.tif")
    plain = encode.decode
    monkeypatch.setattr(encode, "decode", lambda data, form: plain(data, form) ^ 1)
    storing, forms = assert_equal(path)
    assert set(forms) == {"jxl"}
    assert storing.reason.startswith("its JPEG tiles decode to other pixels than the slide's reader gives (at x ")


def test_a_structure_that_tifffile_stumbles_over_is_no_reason_to_refuse(tmp_path, monkeypatch):
    path = write_jpeg_slide(tmp_path / "a.tif")

    def stumble(*_args, **_named):
        raise IndexError(str(path))

    monkeypatch.setattr("hdgan.tiles.raw_copy._page", stumble)
    storing, forms = assert_equal(path)
    assert set(forms) == {"jxl"}
    assert storing.reason == "its structure cannot be read by tifffile (IndexError)"


@pytest.fixture
def mixed(tmp_path) -> Path:
    """Two slides whose tiles can be copied, one whose cannot."""
    folder = tmp_path / "scans"
    folder.mkdir()
    for seed, name in enumerate(("a", "b")):
        write_jpeg_slide(folder / f"{name}.tif", paint(seed=seed))
    write_slide(folder / "c.tif", paint(seed=2))
    return folder


def stage(mixed: Path, out: Path, **given_settings):
    config = config_of(slides=("*.tif",), max_background=0.5, num_folds=2, **{"workers": 0} | given_settings)
    return config, run_tiles(config, out=out, seed=0, base=mixed)


def contents(folder: Path) -> dict[Path, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name not in ("provenance.json", ".lock"))
    return {path.relative_to(folder): path.read_bytes() for path in files}


def test_a_stage_says_of_each_slide_which_way_was_taken_whoever_cuts_it(tmp_path, mixed):
    stage(mixed, tmp_path / "one")
    stage(mixed, tmp_path / "two", workers=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    readers = json.loads((tmp_path / "one" / "provenance.json").read_text())["readers"]
    assert {name: told["store"] for name, told in readers.items()} == {"a": "raw", "b": "raw", "c": "jxl"}
    assert readers["c"]["store_reason"] == "its tiles are stored as ADOBE_DEFLATE, not as JPEG"
    page = (tmp_path / "one" / "report.html").read_text()
    assert f"as copies of its JPEG tiles ({FITS})." in page
    assert "as JPEG XL (its tiles are stored as ADOBE_DEFLATE, not as JPEG)." in page
    forms = {row.slide: format_of(row.name) for row in TileArchive(tmp_path / "one").rows}
    assert forms == {"a": "raw", "b": "raw", "c": "jxl"}


def test_runs_stored_as_png_stay_current_and_can_be_stored_again(tmp_path, mixed):
    _, before = stage(mixed, tmp_path / "png", format="png")
    config, same = stage(mixed, tmp_path / "png")
    assert same == before
    stage(mixed, tmp_path / "auto")
    plain, ours = TileArchive(tmp_path / "png"), TileArchive(tmp_path / "auto")
    assert len(plain) == len(ours) > 5
    assert all(np.array_equal(plain.read(i), ours.read(i)) for i in range(len(ours)))
    assert what_if(tmp_path / "png") == what_if(tmp_path / "auto")
    rebuild_tiles(config, out=tmp_path / "png", seed=0, base=mixed)
    rebuild_tiles(config, out=tmp_path / "auto", seed=0, base=mixed)
    first, again = contents(tmp_path / "auto"), contents(tmp_path / "png")
    for name in ("tiles.zip", "tiles.csv"):
        assert first[Path(name)] == again[Path(name)]
    assert read_manifest(tmp_path / "png").config["format"] == "png"


def test_an_estimate_counts_copies_as_copies(mixed):
    config = config_of(slides=("*.tif",))
    sizes = {form: estimate(config.model_copy(update={"format": form}), base=mixed).bytes for form in ("auto", "jxl", "raw")}
    fitting = estimate(config.model_copy(update={"slides": ("a.tif", "b.tif")}), base=mixed).bytes
    copied = estimate(config.model_copy(update={"slides": ("a.tif", "b.tif"), "format": "raw"}), base=mixed).bytes
    assert fitting == copied
    assert copied < sizes["auto"] < sizes["jxl"]


def test_images_that_are_cut_already_are_stored_as_png(tmp_path):
    (tmp_path / "images").mkdir()
    for seed in range(3):
        Image.fromarray(paint(64, 64, seed=seed)).save(tmp_path / "images" / f"{seed}.png")
    for form in ("auto", "png"):
        config = TilesConfig(slides=("images",), mpp=1.0, tile_px=64, images={}, format=form, num_folds=1)
        run_tiles(config, out=tmp_path / form, seed=0, base=tmp_path)
    assert contents(tmp_path / "auto") == contents(tmp_path / "png")
    rebuild_tiles(config.model_copy(update={"format": "auto"}), out=tmp_path / "auto", seed=0, base=tmp_path)
    assert all(row.name.endswith(".png") for row in TileArchive(tmp_path / "auto").rows)


def test_inspect_knows_what_could_be_copied(tmp_path):
    assert copying(write_jpeg_slide(tmp_path / "a.tif")).tile_px == (64, 64)
    other = copying(write_slide(tmp_path / "b.tif", paint()))
    assert (other.tile_px, other.reason) == (None, "its tiles are stored as ADOBE_DEFLATE, not as JPEG")


@pytest.mark.skipif(not DATA, reason="HDGAN_DATA is not set")
@pytest.mark.parametrize(
    ("name", "mpp", "tile_px", "store"),
    [
        ("kidney/slides/biopsy-a.tif", 1.0, 512, "raw"),
        ("kidney/slides/biopsy-a.tif", 1.5, 512, "jxl"),
        ("slides/CMU-1-Small-Region.svs", 0.499, 480, "raw"),
        ("slides/CMU-1-Small-Region.svs", 0.499, 512, "jxl"),
    ],
)
def test_real_slides_are_stored_as_png_would_be(name, mpp, tile_px, store):
    storing, forms = assert_equal(Path(DATA) / name, mpp=mpp, tile_px=tile_px, max_background=0.9)
    assert storing.store == store
    assert set(forms) == {store}
