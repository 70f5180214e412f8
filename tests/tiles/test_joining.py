from __future__ import annotations

import threading
from contextlib import closing
from dataclasses import replace

import pytest

from hdgan.errors import DamagedArtifact
from hdgan.store.archive import ARCHIVE, INDEX, TileArchive, TileRow, write_archive
from hdgan.store.hashing import hash_file
from hdgan.tiles import parts
from hdgan.tiles.joining import joining

SLIDES = ("a", "b")
ROW = TileRow("", "", "p", "", "", -1, 0, 0, 8, 8, 0.5, 0.0)


@pytest.fixture
def cut(tmp_path):
    """A stage folder with the parts of two slides of two tiles each, and the fold of each tile."""
    folds = {}
    for slide in SLIDES:
        rows = [replace(ROW, name=f"{slide}{number}.png", slide=slide) for number in range(2)]
        (tmp_path / parts.PARTS / slide).mkdir(parents=True)
        write_archive(parts.part_folder(tmp_path, slide), [(row, row.name.encode() * 999) for row in rows])
        folds |= {row.name: number for number, row in enumerate(rows)}
    return tmp_path, folds


def entries(out):
    return sorted(path.name for path in out.iterdir())


def test_the_archive_beside_other_work_is_that_of_joining_alone(cut):
    out, folds = cut
    with joining(out, SLIDES, fold_of=folds) as joined:
        archive = joined()
    assert archive.sha256 == hash_file(out / ARCHIVE)
    with closing(TileArchive(out)) as read:
        assert read.rows == archive.rows
        assert [(row.name, row.fold) for row in read.rows] == [("a0.png", 0), ("a1.png", 1), ("b0.png", 0), ("b1.png", 1)]
        assert [read.encoded(number) for number in range(4)] == [row.name.encode() * 999 for row in read.rows]
    beside = {name: (out / name).read_bytes() for name in (ARCHIVE, INDEX)}
    parts.join_parts(out, SLIDES, fold_of=folds)
    assert {name: (out / name).read_bytes() for name in (ARCHIVE, INDEX)} == beside


def test_an_error_in_the_block_ends_the_work_at_the_next_tile_and_leaves_nothing(cut, monkeypatch):
    out, folds = cut
    begun, is_begun, is_raised = [], threading.Event(), threading.Event()
    encoded = TileArchive.encoded

    def slow(self, index):
        begun.append(index)
        is_begun.set()
        is_raised.wait(20)
        return encoded(self, index)

    monkeypatch.setattr(TileArchive, "encoded", slow)

    def fail():
        with joining(out, SLIDES, fold_of=folds):
            assert is_begun.wait(20)
            threading.Timer(0.2, is_raised.set).start()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert begun == [0]
    assert entries(out) == [parts.PARTS]


def test_what_is_wrong_with_a_part_is_told_to_whoever_waits(cut):
    out, folds = cut
    archive = parts.part_folder(out, "b") / ARCHIVE
    archive.write_bytes(archive.read_bytes()[:50])
    with joining(out, SLIDES, fold_of=folds) as joined, pytest.raises(DamagedArtifact, match="b0"):
        joined()
    assert entries(out) == [parts.PARTS]
