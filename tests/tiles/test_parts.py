from __future__ import annotations

import pytest

from hdgan.errors import DamagedArtifact
from hdgan.store.archive import TileArchive, TileRow
from hdgan.tiles.cut import BACKGROUND, KEPT, Cell, CutTile
from hdgan.tiles.parts import (
    CELLS,
    STATUS,
    Status,
    join_parts,
    part_folder,
    read_cells,
    remove_parts,
    whole_part,
    write_cells,
    write_part,
    write_status,
)


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


def status(part):
    sizes = {file.name: file.stat().st_size for file in sorted(part.iterdir())}
    return Status("key", "a", "painted", "asked for", {KEPT: 1, BACKGROUND: 1}, sizes, 0.5, "0.1.0")


def test_a_part_is_whole_with_its_status_its_key_and_all_its_files(tmp_path):
    part = tmp_path / "a"
    write_part(part, cut("a", "P", (1,)))
    assert whole_part(part, "key") is None
    told = status(part)
    write_status(part, told)
    assert whole_part(part, "key") == told
    assert whole_part(part, "another") is None
    cells = (part / CELLS).read_bytes()
    (part / CELLS).write_bytes(cells[:-1])
    assert whole_part(part, "key") is None
    (part / CELLS).unlink()
    assert whole_part(part, "key") is None
    (part / CELLS).write_bytes(cells)
    assert whole_part(part, "key") == told


@pytest.mark.parametrize("text", ["", "[]", '{"key": "key"}', '{"key": "key", "sizes": 3}'])
def test_a_status_that_is_none_is_no_status(tmp_path, text):
    (tmp_path / STATUS).write_text(text)
    assert whole_part(tmp_path, "key") is None


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
