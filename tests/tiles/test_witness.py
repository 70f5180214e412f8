"""Cutting slides that are damaged, or whose two readers disagree."""

from __future__ import annotations

from contextlib import closing

import numpy as np
import pytest
import tifffile
from PIL import Image

from hdgan.progress import Silent
from hdgan.slides.direct import DirectSlide
from hdgan.slides.pyramid import PyramidSlide
from hdgan.slides.reader import open_slide
from hdgan.slides.table import SlideEntry
from hdgan.tiles.config import TilesConfig
from hdgan.tiles.cut import KEPT, SUSPECT, UNREADABLE, cut_slide
from hdgan.tiles.plan import plan_slide
from tests.slides.jpeg_painting import write_jpeg_slide
from tests.slides.painting import damage, paint, write_coded, write_slide

TISSUE = (0, 0, 1, 1)


class Listener(Silent):
    def __init__(self):
        self.lines = []

    def say(self, line):
        self.lines.append(line)


def cut(path, *, reader="auto", spoil=lambda _: None, **settings):
    """Verdicts by place, records and lines of cutting a slide into tiles of 128 px at 0.5 um/px."""
    config = TilesConfig(**{"slides": (str(path),), "mpp": 0.5, "tile_px": 128, "slide_mpp": 0.5, "white_distance": 0.01, **settings})
    listener, unread = Listener(), []
    with closing(open_slide(path, reader=reader, mpp_override=0.5)) as slide:
        plan = plan_slide(slide, SlideEntry(path.stem, path, patient="A"), config)
        spoil(slide)
        cells = {(c.x_px, c.y_px): c for c, _ in cut_slide(slide, plan, config, unread=unread, progress=listener)}
    return {xy: cell.verdict for xy, cell in cells.items()}, unread, listener.lines


def patch_middle(path, *, index, content, level=0):
    with tifffile.TiffFile(path) as tiff:
        pages = [page for page in tiff.pages if page.is_tiled]
        offset, count = pages[level].dataoffsets[index], pages[level].databytecounts[index]
    data = bytearray(path.read_bytes())
    data[offset + count // 2 : offset + count // 2 + len(content)] = content
    path.write_bytes(bytes(data))


@pytest.mark.parametrize(("reader", "other"), [("auto", "openslide"), ("openslide", "direct")])
def test_a_bad_region_is_recorded_with_what_both_readers_say_and_the_next_cell_is_read(tmp_path, reader, other):
    path = write_slide(tmp_path / "a.tif", paint(512, 384, tissue=TISSUE), levels=1)
    damage(path, tile_index=1)
    verdicts, unread, lines = cut(path, reader=reader)
    assert {xy for xy, verdict in verdicts.items() if verdict == UNREADABLE} == {(128, 0)}
    assert set(verdicts.values()) == {KEPT, UNREADABLE}
    (note,) = [note for note in unread if note.part == "tile"]
    assert (note.slide, note.x_px, note.y_px, note.width_px, note.height_px, note.level) == ("a", 128, 0, 128, 128, 0)
    assert (note.what, note.second, note.outcome) == ("undecodable", "fails", "tile dropped")
    assert note.reader == {"auto": "direct", "openslide": "openslide"}[reader]
    assert f"({other}: " in note.second_said
    assert "\n" not in note.said + note.second_said
    assert str(path) not in note.said + note.second_said
    assert any("tile at x 128, y 0 (level-0 px) dropped, undecodable" in line for line in lines)
    assert {note.outcome for note in unread if note.part == "overview"} == {"overview left open"}


def test_what_one_reader_alone_fails_on_is_dropped_all_the_same(tmp_path):
    path = write_slide(tmp_path / "a.tif", paint(512, 384, tissue=TISSUE), levels=3)

    def forgetful(slide):
        slide._cache.clear()
        plain = slide._file.read
        start = int(slide.tiles[0].offsets[1])
        slide._file.read = lambda offset, count: None if offset == start else plain(offset, count)

    verdicts, unread, _ = cut(path, spoil=forgetful, mpp=0.5)
    assert verdicts[128, 0] == UNREADABLE
    (note,) = unread
    assert (note.second, note.second_said, note.outcome) == ("reads it", "openslide", "tile dropped")


def test_a_damaged_coarse_level_costs_a_line_and_no_tile(tmp_path):
    path = write_slide(tmp_path / "a.tif", paint(2048, 1024, tissue=TISSUE), levels=3)
    whole, none, _ = cut(path, max_disagreement=48)
    assert none == []
    with tifffile.TiffFile(path) as tiff:
        offset = tiff.pages[2].dataoffsets[0]
    data = bytearray(path.read_bytes())
    data[offset : offset + 64] = bytes(64)
    path.write_bytes(bytes(data))
    verdicts, unread, lines = cut(path, tile_px=256)
    assert set(verdicts.values()) == set(whole.values()) == {KEPT}
    assert {(note.part, note.level, note.outcome) for note in unread} == {("overview", 2, "made from level 1")}
    assert [line for line in lines if "level 2 cannot be decoded at" in line and "made from a finer level" in line]


def test_a_tile_that_reads_blank_where_the_overview_shows_tissue_is_suspect(tmp_path):
    pixels = paint(1024, 768, tissue=TISSUE)
    path = write_slide(tmp_path / "a.tif", pixels, levels=1)
    half = pixels.copy()
    half[256:384, 256:384] = 255
    half[512:576, 0:64] = 0
    with tifffile.TiffWriter(path) as writer:  # the finest level was blanked after the others were made
        for index, level in enumerate((half, pixels[::2, ::2], pixels[::4, ::4])):
            writer.write(level, tile=(128, 128), photometric="rgb", compression="zlib", subfiletype=min(index, 1), metadata=None)
    verdicts, unread, _ = cut(path, tile_px=256)
    assert {xy for xy, verdict in verdicts.items() if verdict == SUSPECT} == {(256, 256), (0, 512)}
    assert {(note.what, note.second, note.outcome) for note in unread} == {("blank", "agrees", "tile dropped")}
    assert set(cut(path, tile_px=256, max_disagreement=255)[0].values()) == {KEPT, SUSPECT}  # what is blank is so at any bound


def test_silent_damage_is_found_only_by_strict_settings(tmp_path):
    path = write_jpeg_slide(tmp_path / "a.tif", paint(512, 384, tissue=TISSUE), tile=128, levels=1)
    patch_middle(path, index=5, content=bytes(60))
    assert set(cut(path)[0].values()) == {KEPT}
    verdicts, unread, _ = cut(path, strict=True)
    assert {xy for xy, verdict in verdicts.items() if verdict != KEPT} == {(128, 128)}
    assert verdicts[128, 128] == UNREADABLE
    assert [(note.what, note.said[:25]) for note in unread] == [("decoder complains", "tile 5: Corrupt JPEG data")]


def test_raw_copies_are_asked_for_complaints_too(tmp_path):
    path = write_jpeg_slide(tmp_path / "a.tif", paint(512, 384, tissue=TISSUE), tile=128, levels=1)
    patch_middle(path, index=5, content=bytes(60))
    verdicts, unread, _ = cut(path, strict=True, format="raw")
    assert {xy for xy, verdict in verdicts.items() if verdict == UNREADABLE} == {(128, 128)}
    assert [note.what for note in unread] == ["decoder complains"]


def test_strict_settings_drop_no_tile_of_an_intact_slide(tmp_path):
    for number, codec in enumerate(("jpeg 4:2:0", "jpeg 2000 rgb", "deflate", "stored")):
        path = write_coded(tmp_path / f"{number}.svs", paint(701, 533, tissue=TISSUE), codec=codec, is_aperio=True)
        for mpp in (0.5, 1.0, 1.3):  # a level of a whole downsample, one that OpenSlide blends, and one in between
            verdicts, unread, lines = cut(path, strict=True, mpp=mpp, tile_px=96)
            assert set(verdicts.values()) == {KEPT}
            assert (unread, lines) == ([], [])


def test_strict_settings_drop_where_the_two_readers_differ(tmp_path, monkeypatch):
    path = write_slide(tmp_path / "a.tif", paint(512, 384, tissue=TISSUE), levels=1)
    plain = PyramidSlide.read_level

    def different(self, level, xy, size):
        region = plain(self, level, xy, size)
        if self.reason == "second reader" and xy == (256, 128):
            region[3, 3, 0] ^= 1
        return region

    monkeypatch.setattr(PyramidSlide, "read_level", different)
    verdicts, unread, _ = cut(path, strict=True)
    assert {xy for xy, verdict in verdicts.items() if verdict != KEPT} == {(256, 128)}
    assert verdicts[256, 128] == SUSPECT
    assert [(note.what, note.said, note.second) for note in unread] == [("readers differ", "up to 1 grey levels", "differs")]
    assert set(cut(path)[0].values()) == {KEPT}


def test_readers_that_the_probe_found_unlike_are_compared_by_means(tmp_path, monkeypatch):
    path = write_slide(tmp_path / "a.tif", paint(512, 384, tissue=TISSUE), levels=1)
    plain = DirectSlide.read_level
    monkeypatch.setattr(DirectSlide, "read_level", lambda self, *args: np.minimum(plain(self, *args), 254) + np.uint8(1))
    with closing(open_slide(path)) as slide:
        assert slide.reader == "openslide"
    assert set(cut(path, strict=True)[0].values()) == {KEPT}
    monkeypatch.setattr(DirectSlide, "read_level", lambda self, *args: 255 - plain(self, *args))
    assert set(cut(path, strict=True)[0].values()) == {SUSPECT}


def test_that_there_is_no_second_reader_is_said_once(tmp_path):
    Image.fromarray(paint(512, 384, tissue=TISSUE)).save(tmp_path / "a.png")
    verdicts, unread, lines = cut(tmp_path / "a.png", strict=True)
    assert set(verdicts.values()) == {KEPT}
    assert unread == []
    assert len(lines) == 1
    assert "read by image alone; there is no second reader for it, and strict compares nothing" in lines[0]
