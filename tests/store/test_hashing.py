from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdgan.store.hashing import hash_array, hash_bytes, hash_file, hash_json


def test_hashes_are_sha256():
    assert hash_bytes(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@given(st.binary(max_size=300))
def test_a_file_has_the_hash_of_its_bytes(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("hash") / "f"
    path.write_bytes(data)
    assert hash_file(path) == hash_bytes(data)


def test_hashing_a_file_can_be_ended_on_the_way(tmp_path):
    path, beats = tmp_path / "f", []
    path.write_bytes(bytes(9 << 20))
    assert hash_file(path, beat=lambda: beats.append(1)) == hash_bytes(path.read_bytes())
    assert len(beats) == 3

    def end():
        raise KeyError

    with pytest.raises(KeyError):
        hash_file(path, beat=end)


def test_an_array_is_its_values_type_and_shape_whatever_its_layout():
    array = np.arange(6, dtype=np.int32).reshape(2, 3)
    assert hash_array(array) == hash_array(np.asfortranarray(array)) == hash_array(np.repeat(array, 2, axis=1)[:, ::2])
    others = [array.reshape(3, 2), array.astype(np.int64), array.view(np.float32), array + 1, array.ravel()]
    assert len({hash_array(other) for other in (array, *others)}) == 6


@given(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=5))
def test_the_order_of_keys_does_not_change_the_hash_of_data(data):
    assert hash_json(data) == hash_json(dict(reversed(list(data.items()))))
