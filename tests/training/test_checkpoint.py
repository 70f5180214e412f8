from __future__ import annotations

import pytest
import torch

from hdgan.training import checkpoint

TENSORS = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(3)}


def test_the_newest_whole_state_wins_and_three_are_kept(tmp_path):
    for step in range(5):
        checkpoint.save(tmp_path, step=step, tensors=TENSORS, facts={"step": step})
    found = checkpoint.newest(tmp_path)
    assert found is not None
    assert found.facts == {"step": 4}
    assert torch.equal(found.tensors["a"], TENSORS["a"])
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("damage", ["cut", "zeroed", "flipped", "empty"])
def test_damaged_states_are_skipped_by_name(tmp_path, damage):
    for step in (1, 2):
        checkpoint.save(tmp_path, step=step, tensors=TENSORS, facts={"step": step})
    path = tmp_path / "state-000000002.safetensors"
    data = bytearray(path.read_bytes())
    if damage == "cut":
        data = data[:-5]
    elif damage == "zeroed":
        data[-12:] = bytes(12)
    elif damage == "flipped":
        data[-3] ^= 1
    else:
        data = bytearray()
    path.write_bytes(data)
    found = checkpoint.newest(tmp_path)
    assert found is not None
    assert found.facts == {"step": 1}
    assert "state-000000002" in found.skipped[0]


def test_no_state_is_none(tmp_path):
    assert checkpoint.newest(tmp_path) is None


def test_equal_states_have_equal_bytes(tmp_path):
    paths = [
        checkpoint.save(tmp_path / name, step=1, tensors=dict(order), facts={"x": 1.5})
        for name, order in (("p", TENSORS.items()), ("q", reversed(list(TENSORS.items()))))
    ]
    assert paths[0].read_bytes() == paths[1].read_bytes()
