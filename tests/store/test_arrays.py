from __future__ import annotations

import errno
import os

import numpy as np
import pytest

from hdgan.errors import BadMask, DamagedArtifact, OutOfSpace
from hdgan.labels import ClassMap, LabelClass
from hdgan.store.arrays import create_array, finish_array, open_array
from hdgan.store.pairs import PairFolder, write_classes, write_pair


def test_an_array_has_its_name_only_when_it_is_finished(tmp_path):
    path = tmp_path / "a.npy"
    array = create_array(path, (3, 4), "float16")
    array[:] = 7
    assert not path.exists()
    assert finish_array(array) == path
    assert np.array_equal(open_array(path), np.full((3, 4), 7, dtype=np.float16))
    with pytest.raises(ValueError, match="read-only"):
        open_array(path)[0] = 1


def test_what_is_written_to_a_private_array_never_reaches_the_file(tmp_path):
    path = finish_array(create_array(tmp_path / "a.npy", (5,), "float32"))
    private = open_array(path, is_private=True)
    private[:] = 3
    private.flush()
    assert np.array_equal(open_array(path), np.zeros(5))


def test_a_disk_too_small_is_told_before_anything_is_written(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OutOfSpace, match=r"a\.npy"):
        create_array(tmp_path / "a.npy", (1000,), "float32")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "damage",
    [lambda d: d[:-4], lambda d: d + b"more", lambda d: d.replace(b"}", b"("), lambda _: b"", lambda d: b"no array at all" + d[15:]],
)
def test_a_damaged_array_is_refused(tmp_path, damage):
    path = finish_array(create_array(tmp_path / "a.npy", (50,), "float32"))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DamagedArtifact, match=r"a\.npy"):
        open_array(path)


def test_pairs_are_read_as_written_and_foreign_labels_refused(tmp_path):
    write_classes(tmp_path, ClassMap((LabelClass("a", "#000000"), LabelClass("b", "#ffffff"))))
    image, mask = np.zeros((4, 5, 3), dtype=np.uint8), np.eye(4, 5, dtype=np.uint8)
    write_pair(tmp_path, "x", image, mask)
    pairs = PairFolder(tmp_path)
    assert pairs.stems == ("x",)
    assert np.array_equal(pairs.mask("x"), mask)
    assert np.array_equal(pairs.image("x"), image)
    write_pair(tmp_path, "y", image, mask * 9)
    with pytest.raises(BadMask, match="label 9"):
        PairFolder(tmp_path).mask("y")
