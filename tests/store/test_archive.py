from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from multiprocessing import get_context

import numpy as np
import pytest

from hdgan.errors import BadInput, DamagedArtifact
from hdgan.store.archive import TileArchive, TileRow, read_rows, write_archive
from hdgan.store.atomic import encode_png

ROW = TileRow("t.png", "a, b", "p", "c", "PAS", 1, 512, 1024, 64, 16, 2.0, 0.25)


def tile(i: int) -> np.ndarray:
    return np.random.default_rng(i).integers(0, 255, (16, 16, 3), dtype=np.uint8)


@pytest.fixture
def archive(tmp_path):
    write_archive(tmp_path, [(replace(ROW, name=f"{i}.png"), encode_png(tile(i))) for i in range(9)])
    return TileArchive(tmp_path)


def test_tiles_and_rows_are_read_as_written(archive):
    assert len(archive) == 9
    assert archive.rows[4] == replace(ROW, name="4.png")
    assert archive.mpp == 2.0
    assert all(np.array_equal(archive.read(i), tile(i)) for i in range(9))
    archive.close()
    assert np.array_equal(archive.read(8), tile(8))


def test_equal_tiles_give_equal_bytes(archive, tmp_path):
    write_archive(tmp_path / "again", [(replace(ROW, name=f"{i}.png"), encode_png(tile(i))) for i in range(9)])
    for name in ("tiles.zip", "tiles.csv"):
        assert (tmp_path / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_threads_and_processes_read_at_the_same_time(archive):
    archive.read(0)
    order = list(range(9)) * 20
    with ThreadPoolExecutor(4) as threads:
        assert all(np.array_equal(found, tile(i)) for i, found in zip(order, threads.map(archive.read, order), strict=True))
    with get_context("spawn").Pool(1) as pool:
        assert np.array_equal(pool.apply(archive.read, (5,)), tile(5))


def test_a_forked_process_does_not_move_its_parents_place_in_the_file(archive):
    archive.read(0)
    child = os.fork()
    if child == 0:
        os._exit(0 if all(np.array_equal(archive.read(i), tile(i)) for i in range(9)) else 1)
    assert all(np.array_equal(archive.read(i % 9), tile(i % 9)) for i in range(90))
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("end", ["first", "last"])
def test_a_damaged_archive_gives_the_tile_as_written_or_is_refused(archive, end):
    path, draw, refused = archive.folder / "tiles.zip", np.random.default_rng(5), 0
    whole = path.read_bytes()
    for _ in range(300):
        data = bytearray(whole)
        place = int(draw.integers(700))
        data[place if end == "first" else -1 - place] ^= 1 << int(draw.integers(8))
        path.write_bytes(data)
        with closing(TileArchive(archive.folder)) as damaged:
            try:
                assert np.array_equal(damaged.read(0), tile(0))
            except DamagedArtifact:
                refused += 1
    assert refused > 20


def test_a_broken_archive_is_refused_by_name(archive):
    path = archive.folder / "tiles.zip"
    data = bytearray(path.read_bytes())
    data[200] ^= 255
    path.write_bytes(data)
    with pytest.raises(DamagedArtifact, match=r"0\.png"):
        TileArchive(archive.folder).read(0)


def test_several_scales_and_a_missing_or_foreign_index_are_refused(archive, tmp_path):
    write_archive(tmp_path / "m", [(replace(ROW, mpp=mpp), encode_png(tile(0))) for mpp in (1.0, 2.0)][:1])
    with pytest.raises(BadInput, match="cannot be read"):
        read_rows(tmp_path / "absent.csv")
    (tmp_path / "foreign.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DamagedArtifact, match=r"foreign\.csv"):
        read_rows(tmp_path / "foreign.csv")
    archive.rows = (ROW, replace(ROW, mpp=1.0))
    with pytest.raises(BadInput, match="scales"):
        _ = archive.mpp
