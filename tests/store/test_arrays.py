from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from hdgan.errors import BadMask, DamagedArtifact, OutOfSpace
from hdgan.labels import ClassMap, LabelClass
from hdgan.store.arrays import check_array, open_array, write_array
from hdgan.store.pairs import PairFolder, write_classes, write_pair


def made(path: Path, values: np.ndarray) -> tuple[int, ...]:
    """The checksums of `path`, which then holds `values`, written in two pieces."""
    flat = values.ravel()
    return write_array(path, values.shape, values.dtype, [flat[:5], flat[5:]])


def test_an_array_is_read_as_it_was_written_in_pieces(tmp_path):
    values = np.arange(12, dtype=np.float16).reshape(3, 4)
    made(tmp_path / "below" / "a.npy", values)
    assert np.array_equal(open_array(tmp_path / "below" / "a.npy"), values)
    assert np.array_equal(np.load(tmp_path / "below" / "a.npy"), values)
    with pytest.raises(ValueError, match="read-only"):
        open_array(tmp_path / "below" / "a.npy")[0] = 1


def test_equal_values_have_equal_bytes_and_checksums_however_they_were_cut(tmp_path):
    values = np.arange(100, dtype=np.float32)
    sums = [write_array(tmp_path / f"{n}.npy", (100,), "float32", np.array_split(values, n)) for n in (1, 3, 100)]
    assert sums[0] == sums[1] == sums[2]
    assert (tmp_path / "1.npy").read_bytes() == (tmp_path / "100.npy").read_bytes()


def test_what_is_written_to_a_private_array_never_reaches_the_file(tmp_path):
    made(tmp_path / "a.npy", np.zeros(6, dtype=np.float32))
    private = open_array(tmp_path / "a.npy", is_private=True)
    private[:] = 3
    private.flush()
    assert np.array_equal(open_array(tmp_path / "a.npy"), np.zeros(6))


def test_a_disk_too_small_is_told_before_anything_is_written(tmp_path, monkeypatch):
    asked = []

    def full(_handle, first, num_bytes):
        asked.append((first, num_bytes))
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OutOfSpace, match=r"a\.npy"):
        write_array(tmp_path / "a.npy", (1000,), "float32", iter(lambda: pytest.fail("a value was asked for"), 1))
    assert asked == [(0, 128 + 4000)]
    assert list(tmp_path.iterdir()) == []


def test_a_file_system_that_cannot_take_room_is_written_all_the_same(tmp_path, monkeypatch):
    def unable(*_):
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(os, "posix_fallocate", unable)
    made(tmp_path / "a.npy", np.arange(7.0))
    assert np.array_equal(open_array(tmp_path / "a.npy"), np.arange(7.0))


@pytest.mark.parametrize("num", [9, 11])
def test_pieces_of_another_length_leave_nothing_behind(tmp_path, num):
    with pytest.raises(ValueError, match="bytes were given"):
        write_array(tmp_path / "a.npy", (10,), "float32", [np.zeros(num, np.float32)])
    assert list(tmp_path.iterdir()) == []


def test_a_changed_value_is_found_in_its_block(tmp_path, monkeypatch):
    monkeypatch.setattr("hdgan.store.arrays.BLOCK_BYTES", 64)
    path = tmp_path / "a.npy"
    sums = made(path, np.arange(50, dtype=np.float32))
    assert len(sums) == 4
    check_array(path, sums)
    data = bytearray(path.read_bytes())
    data[128 + 4 * 20] ^= 1
    path.write_bytes(data)
    with pytest.raises(DamagedArtifact, match=r"a\.npy: block 1 of 4 has changed"):
        check_array(path, sums)
    path.write_bytes(data[:-40])
    with pytest.raises(DamagedArtifact, match="has changed"):
        check_array(path, sums)


@pytest.mark.parametrize(
    "damage",
    [lambda d: d[:-4], lambda d: d + b"more", lambda d: d.replace(b"}", b"("), lambda _: b"", lambda d: b"no array at all" + d[15:]],
)
def test_a_damaged_array_is_refused(tmp_path, damage):
    path = tmp_path / "a.npy"
    sums = made(path, np.zeros(50, dtype=np.float32))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DamagedArtifact, match=r"a\.npy"):
        open_array(path)
    with pytest.raises(DamagedArtifact, match=r"a\.npy"):
        check_array(path, sums)
    with pytest.raises(DamagedArtifact, match=r"b\.npy"):
        check_array(tmp_path / "b.npy", sums)


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
