from __future__ import annotations

import pytest

from hdgan.errors import DamagedArtifact
from hdgan.store.archive import TileArchive, TileRow
from hdgan.tiles.cut import BACKGROUND, KEPT, Cell, CutTile
from hdgan.tiles.parts import CELLS, THUMBNAIL, is_whole, join_parts, part_folder, read_cells, remove_parts, write_cells, write_part


def cut(slide, patient, numbers):
    for n in numbers:
        row = TileRow(f"{slide}_{n}.png", slide, patient, "", "", -1, n, 0, 8, 8, 0.5, 0.25)
        yield Cell(slide, n, 0, 8, 0.25, KEPT), CutTile(row, f"{slide}{n}".encode())
        yield Cell(slide, n, 8, 8, 0.9, BACKGROUND), None


def test_parts_are_joined_in_the_order_asked_for_with_the_folds_of_tiles(tmp_path):
    for slide, patient in (("b", "Q"), ("a", "P")):
        write_part(part_folder(tmp_path, slide), cut(slide, patient, (1, 2)))
    rows = join_parts(tmp_path, ["a", "b"], fold_of={"a_1.png": 3, "a_2.png": 3, "b_1.png": 0, "b_2.png": 0})
    assert [(row.name, row.fold) for row in rows] == [("a_1.png", 3), ("a_2.png", 3), ("b_1.png", 0), ("b_2.png", 0)]
    archive = TileArchive(tmp_path)
    assert archive.rows == rows
    assert [archive.encoded(i) for i in range(4)] == [b"a1", b"a2", b"b1", b"b2"]
    remove_parts(tmp_path)
    assert not part_folder(tmp_path, "a").parent.exists()


def test_tiles_without_a_fold_are_left_out(tmp_path):
    write_part(part_folder(tmp_path, "a"), cut("a", "P", (1, 2)))
    assert [row.name for row in join_parts(tmp_path, ["a"], fold_of={"a_2.png": 1})] == ["a_2.png"]
    assert TileArchive(tmp_path).encoded(0) == b"a2"


def test_a_part_that_was_interrupted_is_not_whole(tmp_path):
    def killed():
        yield from cut("a", "P", (1,))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_part(tmp_path / "a", killed())
    assert not is_whole(tmp_path / "a")
    assert list((tmp_path / "a").iterdir()) == []
    write_part(tmp_path / "a", cut("a", "P", (1,)))
    assert not is_whole(tmp_path / "a")  # of an earlier version, without its picture for the report
    (tmp_path / "a" / THUMBNAIL).write_bytes(b"jpeg")
    assert is_whole(tmp_path / "a")


def test_cells_survive_the_disk(tmp_path):
    cells = tuple(cell for cell, _ in cut("a, b", "P", (1, 2)))
    write_cells(tmp_path / CELLS, cells)
    assert read_cells(tmp_path / CELLS) == cells


def test_scores_survive_the_disk_and_cells_of_earlier_versions_have_none(tmp_path):
    cells = (Cell("a", 0, 0, 8, 0.25, KEPT, 0.0, 0.125, None, 1.0), Cell("a", 8, 0, 8, 0.9, BACKGROUND, 0.5, 0.0))
    write_cells(tmp_path / CELLS, cells)
    assert read_cells(tmp_path / CELLS) == cells
    (tmp_path / CELLS).write_text("slide,x_px,y_px,level0_px,background,verdict\na,0,0,8,0.25,kept\n")
    assert read_cells(tmp_path / CELLS) == (Cell("a", 0, 0, 8, 0.25, KEPT),)


def test_a_damaged_list_of_cells_is_refused(tmp_path):
    (tmp_path / CELLS).write_text("slide,x_px\na,1\n")
    with pytest.raises(DamagedArtifact, match="no list of cells"):
        read_cells(tmp_path / CELLS)
