from __future__ import annotations

import numpy as np
import pytest
import tifffile

from hdgan.errors import BadInput
from hdgan.slides.gaps import find_gaps, gaps_in
from hdgan.slides.protocol import Level
from hdgan.slides.reader import open_slide
from hdgan.slides.second import second_reader

from .painting import halved, lose, paint, write_coded, write_slide

SIZES = ((1000, 700), (333, 233), (83, 58))
TILES = ((64, 48), (32, 64), (16, 16))


def test_what_is_lost_agrees_with_a_look_at_every_pixel():
    rng = np.random.default_rng(0)
    levels = [Level(size, SIZES[0][0] / size[0]) for size in SIZES]
    shapes = [tuple(-(-size[axis] // tile[axis]) for axis in (1, 0)) for size, tile in zip(SIZES, TILES, strict=True)]
    for share in (0.02, 0.5, 0.95):
        stored = [rng.random(shape) < share for shape in shapes]
        found = find_gaps(levels, tile_px=TILES, is_stored=stored)
        assert not found[0].is_lost.any()
        for index in (1, 2):
            expected = np.zeros(shapes[index], bool)
            for row, column in np.argwhere(~stored[index]):
                (width, height), level = TILES[index], levels[index]
                xs = np.arange(column * width + 1, min((column + 1) * width, level.size_px[0]) - 1, 0.01)
                ys = np.arange(row * height + 1, min((row + 1) * height, level.size_px[1]) - 1, 0.01)
                for finer in range(index):
                    scale = level.downsample / levels[finer].downsample
                    columns, rows = (np.unique((places * scale // TILES[finer][axis]).astype(int)) for axis, places in enumerate((xs, ys)))
                    inside = columns[columns < shapes[finer][1]], rows[rows < shapes[finer][0]]
                    expected[row, column] |= stored[finer][np.ix_(inside[1], inside[0])].any()
            assert np.array_equal(found[index].is_lost, expected)


@pytest.mark.parametrize("reader", ["auto", "openslide"])
def test_a_tile_that_only_a_coarser_level_lacks_is_refused_and_not_read_as_white(tmp_path, reader):
    path = write_slide(tmp_path / "a.tif", paint(1024, 1024, tissue=(0, 0, 1, 1)))
    lose(path, level=1, tiles=(5,))
    slide = open_slide(path, reader=reader)
    assert slide.reader == ("direct" if reader == "auto" else "openslide")
    told = f"level 1, 64 x 64 px cannot be decoded \\({slide.reader}: tile 5 is missing, and a finer level has data there\\)"
    for reading in (slide, second_reader(slide)):
        with pytest.raises(BadInput, match=told if reading is slide else "tile 5 is missing"):
            reading.read((2 * 100, 2 * 200), level0_size=128, out_px=64)
        assert reading.read((2 * 256, 2 * 128), level0_size=256, out_px=128).max() < 241
        assert reading.read((256, 256), level0_size=256, out_px=256).max() < 241


@pytest.mark.parametrize("reader", ["auto", "openslide"])
def test_what_no_finer_level_has_either_is_white(tmp_path, reader):
    path = write_slide(tmp_path / "a.tif", paint(1024, 1024, tissue=(0, 0, 1, 1)))
    lose(path, level=0, tiles=(18, 19, 26, 27))
    lose(path, level=1, tiles=(5,))
    slide = open_slide(path, reader=reader)
    assert (slide.read((256, 256), level0_size=256, out_px=128) == 255).all()


def test_aperio_slides_are_made_from_the_finer_level_by_openslide(tmp_path):
    pixels = paint(1024, 1024, tissue=(0, 0, 1, 1))
    path = write_coded(tmp_path / "a.svs", pixels, codec="stored", is_aperio=True)
    lose(path, level=1, tiles=(5,))
    slide = open_slide(path)
    assert slide.reader == "openslide"
    assert slide.gaps == ()
    found = slide.read((256, 256), level0_size=256, out_px=128)
    assert np.abs(found.astype(int) - halved(pixels)[128:256, 128:256]).mean() < 8  # by its own way of resampling


def test_tiles_of_a_kind_that_is_left_to_openslide_are_counted_too(tmp_path):
    pixels = np.moveaxis(paint(512, 512), -1, 0).copy()
    options = {"tile": (128, 128), "photometric": "rgb", "planarconfig": "separate", "compression": "zlib", "metadata": None}
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(pixels, **options)
        writer.write(np.ascontiguousarray(pixels[:, ::2, ::2]), subfiletype=1, **options)
    lose(tmp_path / "a.tif", level=1, tiles=(9,))  # of the third colour
    found = gaps_in(tmp_path / "a.tif", [Level((512, 512), 1.0), Level((256, 256), 2.0)])
    assert [gaps.is_lost.tolist() for gaps in found] == [[[False] * 4] * 4, [[False, True], [False, False]]]


def test_of_a_file_whose_structure_does_not_say_nothing_is_known(tmp_path):
    (tmp_path / "a.tif").write_bytes(b"II*\0" + bytes(100))
    assert gaps_in(tmp_path / "a.tif", [Level((512, 512), 1.0)]) == ()
    path = write_slide(tmp_path / "b.tif", paint())
    assert gaps_in(path, [Level((640, 513), 1.0)]) == ()
