from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from hdgan.errors import OutOfSpace
from hdgan.store.atomic import remove_leftover_folders, replacing_folder, write_text


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_appears_whole_in_the_place_of_the_former(tmp_path):
    for text in ("one", "two"):
        with replacing_folder(tmp_path / "a") as folder:
            (folder / "x").write_text(text)
            (folder / text).write_text("")
        assert files(tmp_path) == {"a/x": text, f"a/{text}": ""}


def test_an_error_leaves_the_former_and_nothing_else(tmp_path):
    with replacing_folder(tmp_path / "a") as folder:
        (folder / "x").write_text("one")
    with pytest.raises(ZeroDivisionError), replacing_folder(tmp_path / "a") as folder:
        (folder / "x").write_text("two")
        raise ZeroDivisionError
    with pytest.raises(OutOfSpace, match="no space left"), replacing_folder(tmp_path / "a"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert files(tmp_path) == {"a/x": "one"}


def test_nothing_is_made_where_the_folder_above_is_gone(tmp_path):
    with pytest.raises(FileNotFoundError), replacing_folder(tmp_path / "gone" / "a"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_of_many_at_once_one_stays_whole_and_nobody_fails(tmp_path):
    failed = []

    def write(number):
        try:
            for _ in range(25):
                with replacing_folder(tmp_path / "a") as folder:
                    for name in "xyz":
                        (folder / name).write_text(str(number))
        except BaseException as error:  # noqa: BLE001
            failed.append(error)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert failed == []
    assert set(files(tmp_path)) == {"a/x", "a/y", "a/z"}
    assert len(set(files(tmp_path).values())) == 1


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs the names of open files")
def test_files_of_a_folder_are_synced_once_each_before_it_appears(tmp_path, monkeypatch):
    synced, fsync = [], os.fsync

    def told(descriptor):
        synced.append((str(Path(f"/proc/self/fd/{descriptor}").readlink()), (tmp_path / "a").exists()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", told)
    with replacing_folder(tmp_path / "a") as folder:
        (folder / "inner").mkdir()
        names = [folder / "x", folder / "y", folder / "inner" / "z"]
        for name in names:
            write_text(name, "text")
        assert synced == []
    assert sorted(synced[:3]) == sorted((str(name), False) for name in names)
    assert synced[3:] == [(str(folder / "inner"), False), (str(folder), False), (str(tmp_path), True)]
    assert files(tmp_path) == {"a/x": "text", "a/y": "text", "a/inner/z": "text"}


def test_leftovers_are_known_by_the_name_they_would_have_had(tmp_path: Path):
    for name in ("1-0a1b2c3d-new-a", "2-ffffffff-old-a", "3-0a1b2c3d-new-b-a", "4-0a1b2c3d-new-b", "5-a"):
        (tmp_path / f".partial-{name}" / "inside").mkdir(parents=True)
    remove_leftover_folders(tmp_path, {"a", "b"})
    assert sorted(path.name for path in tmp_path.iterdir()) == [".partial-3-0a1b2c3d-new-b-a", ".partial-5-a"]
