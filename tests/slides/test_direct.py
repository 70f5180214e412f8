from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from hdgan.errors import BadInput
from hdgan.slides import codecs, direct
from hdgan.slides.direct import DirectSlide
from hdgan.slides.reader import open_slide

from .painting import CODECS, damage, halved, paint, write_coded

DATA = os.environ.get("HDGAN_DATA")
SIZE = (768, 512)  # halves exactly twice, so that OpenSlide blends no pixels on any level
KINDS = [(codec, is_aperio) for codec in CODECS for is_aperio in (False, True) if is_aperio or "2000" not in codec]


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """A function that gives the direct and the OpenSlide reader of a painted slide of a kind."""
    folder, opened = tmp_path_factory.mktemp("kinds"), {}

    def readers(codec, is_aperio, tile):
        key = (codec, is_aperio, tile)
        if key not in opened:
            path = folder / f"{len(opened)}.{'svs' if is_aperio else 'tif'}"
            write_coded(path, paint(*SIZE), codec=codec, tile=tile, levels=3, is_aperio=is_aperio, is_bigtiff=len(opened) % 2 == 1)
            opened[key] = (open_slide(path), open_slide(path, reader="openslide"))
        return opened[key]

    yield readers
    for pair in opened.values():
        for slide in pair:
            slide.close()


@settings(max_examples=120)
@given(st.data())
def test_any_region_at_any_scale_is_that_of_openslide(both, data):
    codec, is_aperio = data.draw(st.sampled_from(KINDS))
    tile = data.draw(st.sampled_from([(128, 128), (64, 112), (256, 256)]))
    ours, reference = both(codec, is_aperio, tile)
    assert (ours.reader, reference.reader) == ("direct", "openslide"), ours.reason
    assert (ours.levels, ours.mpp, ours.size_px) == (reference.levels, reference.mpp, reference.size_px)
    ratio = data.draw(st.sampled_from([1, 2, 4, 1.6, 3.3]))
    out_px = data.draw(st.tuples(st.integers(1, 150), st.integers(1, 150)))
    level0_size = tuple(int(np.ceil(edge * ratio)) for edge in out_px)
    xy = tuple(data.draw(st.integers(-200, edge + 100)) for edge in SIZE)
    arguments = {"level0_size": level0_size, "out_px": out_px}
    assert np.array_equal(ours.read(xy, **arguments), reference.read(xy, **arguments))


@pytest.mark.parametrize("size", [(700, 533), (513, 257), (100, 90)])
@pytest.mark.parametrize("codec", ["jpeg 4:2:0", "lzw"])
def test_tiles_that_stick_out_of_the_slide_are_cut_at_its_edge(tmp_path, size, codec):
    path = write_coded(tmp_path / "a.tif", paint(*size), codec=codec, levels=1)
    ours, reference = open_slide(path), open_slide(path, reader="openslide")
    assert ours.reader == "direct"
    everything = {"level0_size": (size[0] + 40, size[1] + 40), "out_px": (size[0] + 40, size[1] + 40)}
    assert np.array_equal(ours.read((-20, -20), **everything), reference.read((-20, -20), **everything))


def test_a_level_of_an_odd_edge_gives_its_stored_pixels_and_not_blended_ones(tmp_path):
    pixels = paint(701, 533)
    slide = open_slide(write_coded(tmp_path / "a.tif", pixels, codec="stored"))
    assert slide.reader == "direct"
    assert slide.levels[1].downsample != 2
    assert np.array_equal(slide.read_level(1, (150, 120), (90, 80)), halved(pixels)[120:200, 150:240])


def test_missing_tiles_are_white_as_in_openslide(tmp_path):
    path = write_sparse(tmp_path / "a.tif")
    ours, reference = open_slide(path), open_slide(path, reader="openslide")
    assert ours.reader == "direct", ours.reason
    region = ours.read((0, 0), level0_size=512, out_px=512)
    assert np.array_equal(region, reference.read((0, 0), level0_size=512, out_px=512))
    assert (region[128:256, 128:256] == 255).all()
    assert (region[:128, :128] < 255).all()


def test_a_region_of_missing_tiles_does_not_show_what_the_memory_held_before(tmp_path):
    slide = open_slide(write_sparse(tmp_path / "a.tif", edge=2048, missing=range(1, 256)))
    first = slide.read((0, 0), level0_size=2048, out_px=2048)
    first[...] = 3
    del first
    again = slide.read((0, 0), level0_size=2048, out_px=2048)
    assert (again[:, 128:] == 255).all()


def test_neighbouring_regions_decode_the_tile_between_them_once(tmp_path, monkeypatch):
    slide = open_slide(write_coded(tmp_path / "a.tif", paint(512, 512), codec="jpeg 4:2:0", levels=1))
    slide._cache.clear()
    decoded = []
    real = slide._file.read
    monkeypatch.setattr(slide._file, "read", lambda offset, count: (decoded.append(offset), real(offset, count))[1])
    for y in (0, 200):
        for x in (0, 200):
            slide.read((x, y), level0_size=200, out_px=200)
    assert len(decoded) - 1 <= len(set(decoded))  # the tile that the first region took whole is not kept


def test_the_tiles_kept_stay_within_their_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(direct, "CACHE_BYTES", 3 * 128 * 128 * 3)
    slide = open_slide(write_coded(tmp_path / "a.tif", paint(512, 512), codec="lzw", levels=1))
    for x in range(0, 400, 50):
        slide.read((x, 30), level0_size=60, out_px=60)
        assert slide._cache.num_bytes <= direct.CACHE_BYTES


@pytest.mark.parametrize("codec", ["jpeg 4:2:0", "deflate", "lzw", "jpeg 2000 rgb"])
def test_a_damaged_tile_is_refused_with_slide_region_and_reader_and_the_next_is_read(tmp_path, codec):
    path = write_coded(tmp_path / "a.svs", paint(*SIZE), codec=codec, is_aperio=True, levels=1)
    whole = open_slide(path).read((300, 300), level0_size=64, out_px=64)
    damage(path, tile_index=0)
    slide = open_slide(path)
    assert slide.reader == "direct", slide.reason
    for _ in range(2):
        with pytest.raises(
            BadInput, match=r"a\.svs: region at x 10, y 10 \(level-0 px\).*cannot be decoded \(direct: tile 0 .*copy it again"
        ):
            slide.read((10, 10), level0_size=64, out_px=64)
        assert np.array_equal(slide.read((300, 300), level0_size=64, out_px=64), whole)


def test_a_file_that_is_cut_short_loses_the_tiles_behind_the_cut_alone(tmp_path):
    path = write_coded(tmp_path / "a.tif", paint(*SIZE), codec="jpeg 4:2:0", levels=1)
    with tifffile.TiffFile(path) as tiff:
        offset = tiff.pages[0].dataoffsets[-1]
    slide = open_slide(path)
    slide._cache.clear()
    whole = slide.read((10, 10), level0_size=64, out_px=64)
    os.truncate(path, offset + 5)
    with pytest.raises(BadInput, match="direct: the file ends inside tile 23"):
        slide.read((SIZE[0] - 64, SIZE[1] - 64), level0_size=60, out_px=60)
    assert np.array_equal(slide.read((10, 10), level0_size=64, out_px=64), whole)


def test_threads_read_the_same_pixels(tmp_path):
    slide = open_slide(write_coded(tmp_path / "a.tif", paint(*SIZE), codec="jpeg 4:2:0", levels=1))
    places = [(x, y) for x in range(0, 600, 90) for y in range(0, 400, 90)]
    expected = [slide.read(xy, level0_size=140, out_px=140) for xy in places]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda xy: slide.read(xy, level0_size=140, out_px=140), places * 3))
    assert all(np.array_equal(a, b) for a, b in zip(found, expected * 3, strict=True))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_reads_while_its_parent_does(tmp_path):
    slide = open_slide(write_coded(tmp_path / "a.tif", paint(*SIZE), codec="jpeg 4:2:0", levels=1))
    expected = slide.read((50, 60), level0_size=300, out_px=300)
    child = os.fork()
    if child == 0:
        same = all(np.array_equal(slide.read((50, 60), level0_size=300, out_px=300), expected) for _ in range(20))
        os._exit(0 if same else 1)
    assert all(np.array_equal(slide.read((50, 60), level0_size=300, out_px=300), expected) for _ in range(20))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.skipif(not DATA, reason="HDGAN_DATA is not set")
@pytest.mark.parametrize("name", ["kidney/slides/biopsy-a.tif", "slides/CMU-1-Small-Region.svs", "slides/tcga-cr-7395-01a-01-ts1.svs"])
def test_real_slides_read_as_openslide_reads_them(name):
    ours, reference = (open_slide(Path(DATA) / name, reader=reader) for reader in ("auto", "openslide"))
    assert isinstance(ours, DirectSlide)
    rng = np.random.default_rng(0)
    for _ in range(6):
        xy = tuple(int(rng.integers(-100, edge)) for edge in ours.size_px)
        size = tuple(int(rng.integers(1, 700)) for _ in range(2))
        assert np.array_equal(ours.read(xy, level0_size=size, out_px=size), reference.read(xy, level0_size=size, out_px=size))
    for level, stored in enumerate(ours.levels):
        if level < 1 or max(stored.size_px) > 3000:
            continue
        assert np.array_equal(ours.read_level(level, (0, 0), stored.size_px), reference.read_level(level, (0, 0), stored.size_px))


def write_sparse(path, *, edge=512, missing=(5, 6)):
    """A tiled TIFF of 128 px tiles without those of `missing`."""
    pixels = paint(edge, edge, tissue=(0, 0, 1, 1))
    num = edge // 128
    blocks = [pixels[y * 128 : y * 128 + 128, x * 128 : x * 128 + 128] for y in range(num) for x in range(num)]
    tiles = (None if index in missing else block for index, block in enumerate(blocks))
    tifffile.imwrite(path, tiles, shape=pixels.shape, dtype=np.uint8, tile=(128, 128), photometric="rgb", compression="zlib", metadata=None)
    return path


def test_equal_blank_tiles_are_decoded_once_and_others_are_not_taken_for_them(tmp_path, monkeypatch):
    pixels = np.full((512, 768, 3), 240, np.uint8)
    pixels[128:256, 256:384] = paint(128, 128, tissue=(0, 0, 1, 1))
    pixels[:128] = 200  # blank too, and other ones
    path = write_coded(tmp_path / "a.tif", pixels, codec="jpeg 4:2:0", levels=1)
    ours, reference = open_slide(path), open_slide(path, reader="openslide")
    assert ours.reader == "direct"
    ours._blanks.clear()
    ours._cache.clear()
    decoded = []
    decode = codecs.Codec.decode
    monkeypatch.setattr(codecs.Codec, "decode", lambda self, data, *, out: decoded.append(data) or decode(self, data, out=out))
    for xy, size in (((0, 0), (768, 512)), ((3, 5), (700, 500)), ((64, 64), (384, 320))):
        assert np.array_equal(ours.read(xy, level0_size=size, out_px=size), reference.read(xy, level0_size=size, out_px=size))
    assert len(set(decoded)) >= 3
    assert len(decoded) <= len(set(decoded)) + 2, "only the tile of tissue is decoded again"
