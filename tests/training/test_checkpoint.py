from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import save_file

from hdgan.errors import OutOfSpace
from hdgan.store.atomic import remove_leftovers
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


def test_copies_that_a_person_made_are_neither_counted_nor_gone_on_from_nor_removed(tmp_path):
    path = checkpoint.save(tmp_path, step=1, tensors=TENSORS, facts={"step": 1})
    mine = {"state-000000001 (copy).safetensors", "state-good.safetensors", "state-before-2.safetensors", "state-.safetensors"}
    for name in mine:
        (tmp_path / name).write_bytes(path.read_bytes())
    for step in (2, 3, 4, 5):
        checkpoint.save(tmp_path, step=step, tensors=TENSORS, facts={"step": step})
    assert checkpoint.last_step(tmp_path) == 5
    assert checkpoint.newest(tmp_path).facts == {"step": 5}
    assert {file.name for file in tmp_path.iterdir()} == mine | {f"state-00000000{step}.safetensors" for step in (3, 4, 5)}


def test_the_facts_alone_are_read_from_a_whole_header(tmp_path):
    path = checkpoint.save(tmp_path, step=1, tensors=TENSORS, facts={"step": 1, "names": ["x"]})
    assert checkpoint.read_facts(path) == {"step": 1, "names": ["x"]}
    path.write_bytes(path.read_bytes()[:9])
    with pytest.raises(ValueError, match="not a whole file of ours"):
        checkpoint.read_facts(path)


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


def test_one_best_state_is_kept_beside_the_newest_and_stands_in_where_none_of_those_is_whole(tmp_path):
    for step in range(1, 6):
        checkpoint.save(tmp_path, step=step, tensors=TENSORS, facts={"step": step})
    for step in (1, 2):
        checkpoint.save_best(tmp_path, step=step, tensors=TENSORS, facts={"step": step})
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["best-000000002.safetensors", *(f"state-00000000{step}.safetensors" for step in (3, 4, 5))]
    assert checkpoint.newest(tmp_path).facts == {"step": 5}
    for path in tmp_path.glob("state-*"):
        path.write_bytes(b"")
    found = checkpoint.newest(tmp_path)
    assert found.facts == {"step": 2}
    assert len(found.skipped) == 3


def test_no_flipped_bit_of_a_state_gives_other_facts_or_numbers(tmp_path):
    facts = {"ada_p": 0.12345, "num_images": 123456, "rows": [{"images": 1000, 7: (1, 2)}, {"warning": "p_at_cap"}]}
    path = checkpoint.save(tmp_path, step=1, tensors=TENSORS, facts=facts)
    whole, (tensors, read) = path.read_bytes(), checkpoint.read_tensors(path)
    assert read == json.loads(json.dumps(facts))
    for place in range(8, len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :])
        try:
            found, told = checkpoint.read_tensors(path)
        except ValueError:
            continue
        assert told == read
        assert all(torch.equal(value, found[name]) for name, value in tensors.items())


def test_a_file_of_an_earlier_version_whose_facts_have_no_digest_is_read(tmp_path):
    about = {"digest": checkpoint.digest(TENSORS), "facts": {"step": 3}}
    save_file(TENSORS, tmp_path / "state-000000003.safetensors", metadata={"hdgan": json.dumps(about)})
    assert checkpoint.newest(tmp_path).facts == {"step": 3}
    assert checkpoint.read_facts(tmp_path / "state-000000003.safetensors") == {"step": 3}


def test_a_state_after_damaged_ones_of_later_steps_is_kept_and_those_are_not_counted(tmp_path):
    checkpoint.save_best(tmp_path, step=100, tensors=TENSORS, facts={"step": 100})
    for step in (200, 300, 400):
        checkpoint.save(tmp_path, step=step, tensors=TENSORS, facts={"step": step}).write_bytes(b"damaged")
    assert checkpoint.newest(tmp_path).facts == {"step": 100}
    for step in (110, 120, 130, 140):
        checkpoint.save(tmp_path, step=step, tensors=TENSORS, facts={"step": step})
        assert checkpoint.newest(tmp_path).facts == {"step": step}
    assert {path.name for path in tmp_path.glob("state-*")} == {f"state-{step:09d}.safetensors" for step in (120, 130, 140, 200, 300, 400)}
    for step in (250, 350, 450):
        checkpoint.save(tmp_path, step=step, tensors=TENSORS, facts={"step": step})
    assert checkpoint.newest(tmp_path).facts == {"step": 450}
    assert len(list(tmp_path.glob("state-*"))) == 3


def test_states_that_belong_to_something_else_are_skipped_and_told_even_where_none_is_left(tmp_path):
    for step in (1, 2):
        checkpoint.save(tmp_path, step=step, tensors=TENSORS, facts={"step": step})
    told = []
    misfit = lambda _tensors, facts: "it is of Tuesday" if facts["step"] == 2 else None  # noqa: E731
    assert checkpoint.newest(tmp_path, misfit=misfit, tell=told.append).facts == {"step": 1}
    assert told == ["state-000000002.safetensors: it is of Tuesday"]
    (tmp_path / "state-000000001.safetensors").write_bytes(b"")
    assert checkpoint.newest(tmp_path, misfit=misfit, tell=told.append) is None
    assert len(told) == 3


def test_no_state_is_none(tmp_path):
    assert checkpoint.newest(tmp_path) is None


def test_equal_states_have_equal_bytes(tmp_path):
    paths = [
        checkpoint.save(tmp_path / name, step=1, tensors=dict(order), facts={"x": 1.5})
        for name, order in (("p", TENSORS.items()), ("q", reversed(list(TENSORS.items()))))
    ]
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_a_state_that_does_not_fit_on_the_disk_is_one_clear_line_and_nothing_is_left(tmp_path):
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OutOfSpace, match="no space left"):
            checkpoint.save(tmp_path, step=1, tensors={"a": torch.zeros(5000)}, facts={})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert list(tmp_path.iterdir()) == []


WRITER = """
import sys
from pathlib import Path
import torch
from hdgan.training.checkpoint import write_tensors
while True:
    write_tensors(Path(sys.argv[1]), {"a": torch.ones(2_000_000)}, {})
"""


def is_writing(folder):
    """Whether a file of the library's own lies below `folder`; what vanishes meanwhile is passed over, as `rglob` does not."""
    return any(name.startswith(".tmp") for _, folders, files in os.walk(folder) for name in (*folders, *files))


def test_a_writer_killed_inside_safetensors_leaves_nothing_that_cleaning_does_not_know(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path / "weights.safetensors")])
    deadline = time.monotonic() + 60
    while not is_writing(tmp_path) and process.poll() is None and time.monotonic() < deadline:
        pass
    process.kill()
    assert process.wait() == -9
    remove_leftovers(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} <= {"weights.safetensors"}


def test_weights_may_be_read_by_whom_the_umask_allows(tmp_path):
    (tmp_path / "plain").touch()
    checkpoint.write_tensors(tmp_path / "w.safetensors", {"a": torch.zeros(2)}, {})
    assert (tmp_path / "w.safetensors").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_the_longest_state_is_set_aside_and_copies_under_other_names_are_left_alone(tmp_path):
    folder, kept = tmp_path / "state", tmp_path / "kept"
    for step in (10, 20):
        checkpoint.save(folder, step=step, tensors={"a": torch.zeros(1)}, facts={})
    (folder / "state-good.safetensors").write_bytes(b"mine")
    assert checkpoint.set_aside(folder, kept) == kept / "state-000000020.safetensors"
    (kept / "state-better.safetensors").write_bytes(b"mine")
    assert checkpoint.set_aside(folder, kept) is None  # that of 10 steps is not worth the place of one of 20
    checkpoint.save(folder, step=30, tensors={"a": torch.zeros(1)}, facts={})
    assert checkpoint.set_aside(folder, kept) == kept / "state-000000030.safetensors"
    assert sorted(path.name for path in kept.iterdir()) == ["state-000000030.safetensors", "state-better.safetensors"]
    assert (folder / "state-good.safetensors").exists()
