from __future__ import annotations

import logging
import os
import threading
from pathlib import Path

import pytest
import tifffile

from hdgan.slides.jpeg_check import jpeg_complaint, tiff_complaint
from hdgan.slides.reader import open_slide

from .painting import CODECS, paint, write_coded

DATA = os.environ.get("HDGAN_DATA")
JPEGS = [codec for codec in CODECS if codec.startswith("jpeg ") and "2000" not in codec]


def tiles_of(path):
    """Compressed tiles, tables and size of tile of each JPEG level."""
    data = path.read_bytes()
    with tifffile.TiffFile(path) as tiff:
        for page in tiff.pages:
            if page.is_tiled and page.compression == 7:
                size = (page.tilewidth, page.tilelength)
                for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
                    if count:
                        yield data[offset : offset + count], page.jpegtables, size


def patched(tile, content):
    middle = len(tile) // 2
    return tile[:middle] + content + tile[middle + len(content) :]


@pytest.mark.parametrize("codec", JPEGS)
@pytest.mark.parametrize("size", [(128, 128), (64, 32)])
def test_intact_tiles_give_no_complaint_and_runs_of_zeros_do(tmp_path, codec, size):
    path = write_coded(tmp_path / "a.tif", paint(256, 128, tissue=(0, 0, 1, 1)), codec=codec, tile=size, levels=1)
    for tile, tables, tile_px in tiles_of(path):
        assert tile_px == size
        assert jpeg_complaint(tile, tables=tables, tile_px=tile_px) == ""
        assert "Corrupt JPEG data" in jpeg_complaint(patched(tile, bytes(40)), tables=tables, tile_px=tile_px)


def test_data_that_end_early_and_data_that_are_left_over_are_told_apart(tmp_path):
    path = write_coded(tmp_path / "a.tif", paint(128, 128, tissue=(0, 0, 1, 1)), codec="jpeg 4:2:0", levels=1)
    tile, tables, size = next(tiles_of(path))
    assert "premature end" in jpeg_complaint(tile[:-200] + tile[-2:], tables=tables, tile_px=size)
    assert "extraneous bytes" in jpeg_complaint(tile[:-2] + bytes(30) + tile[-2:], tables=tables, tile_px=size)


@pytest.mark.parametrize("data", [b"", b"\xff\xd8", b"\xff\xd8\xff\xd9", b"\x00" * 500, b"\xff\xd8\xff\xc0" + b"\xff" * 50])
def test_what_is_no_jpeg_is_a_complaint_and_no_error(data):
    assert jpeg_complaint(data, tables=None, tile_px=(64, 64))
    assert tiff_complaint(data)


def test_complaints_stay_out_of_the_log_and_in_their_thread(tmp_path, caplog):
    path = write_coded(tmp_path / "a.tif", paint(128, 128, tissue=(0, 0, 1, 1)), codec="jpeg 4:2:0", levels=1)
    tile, tables, size = next(tiles_of(path))
    bad, found = patched(tile, bytes(40)), {}

    def ask(name, data):
        found[name] = {jpeg_complaint(data, tables=tables, tile_px=size) for _ in range(40)}

    threads = [threading.Thread(target=ask, args=(f"{name} {n}", data)) for n in range(3) for name, data in (("bad", bad), ("good", tile))]
    with caplog.at_level(logging.DEBUG, logger="imagecodecs"):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert all((said == {""}) == name.startswith("good") for name, said in found.items())
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert not logging.getLogger("imagecodecs").filters


def test_a_reader_names_the_tile_and_asks_each_once(tmp_path, monkeypatch):
    path = write_coded(tmp_path / "a.svs", paint(512, 384, tissue=(0, 0, 1, 1)), codec="jpeg 4:2:0", levels=1, is_aperio=True)
    with tifffile.TiffFile(path) as tiff:
        offset, count = tiff.pages[0].dataoffsets[5], tiff.pages[0].databytecounts[5]
    data = bytearray(path.read_bytes())
    data[offset + count // 2 : offset + count // 2 + 40] = bytes(40)
    path.write_bytes(bytes(data))
    slide = open_slide(path)
    assert slide.reader == "direct"
    assert slide.complaint(0, (0, 0), (128, 384)) == ""
    assert slide.complaint(0, (-50, -50), (512, 178)) == ""
    monkeypatch.setattr("hdgan.slides.direct.jpeg_complaint", lambda _, **_kwargs: "asked again")
    assert slide.complaint(0, (0, 0), (128, 384)) == ""
    monkeypatch.undo()
    for region in (((100, 100), (200, 200)), ((255, 255), (1, 1)), ((128, 128), (128, 128))):
        assert slide.complaint(0, *region).startswith("tile 5: Corrupt JPEG data")


def test_tiles_without_jpeg_cannot_be_asked(tmp_path):
    assert open_slide(write_coded(tmp_path / "a.tif", paint(), codec="deflate")).complaint(0, (0, 0), (600, 500)) == ""


@pytest.mark.skipif(not DATA, reason="HDGAN_DATA is not set")
def test_no_jpeg_tile_of_real_slides_gives_a_complaint():
    root, asked = Path(DATA), 0
    for path in (root / "kidney" / "slides" / "biopsy-a.tif", root / "slides" / "CMU-1-Small-Region.svs"):
        for tile, tables, size in tiles_of(path):
            assert jpeg_complaint(tile, tables=tables, tile_px=size) == ""
            asked += 1
    assert asked > 1800
