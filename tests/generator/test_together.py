"""One training in several processes: what one process would have made, and no process left behind."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch

from hdgan.errors import BadConfig
from hdgan.generator.config import GeneratorConfig
from hdgan.generator.networks import minibatch_std
from hdgan.generator.shares import places
from hdgan.store.atomic import read_json
from hdgan.training import checkpoint
from hdgan.training.distributed import Group
from hdgan.training.ranks import Rank
from tests.training.processes import ended, start

from . import together
from .conftest import TINY

FIELDS = TINY | {"kimg": 0.4, "batch": 16, "path_weight": 2.0, "mixing": 0.9, "ada_p": 0.5, "augment": "bgc", "low_precision": "float32"}
CLOSE = {"rtol": 1e-3, "atol": 1e-4}
STEPS = 5


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The states after `STEPS` steps of 1, 2 and 4 processes, and of two on two machines of two addresses."""
    folder = tmp_path_factory.mktemp("together")
    codes = {}
    codes["1"] = ended(start(together.train_steps, 1, FIELDS, 0, STEPS, None, folder / "1"))
    for name, world, more in (("2", 2, {}), ("4", 4, {}), ("nodes", 2, {"local_size": 1, "master": "127.0.0.2"})):
        codes[name] = ended(start(together.train_steps, world, FIELDS, 0, STEPS, None, folder / name, **more))
    assert codes == {"1": [0], "2": [0, 0], "4": [0] * 4, "nodes": [0, 0]}
    return folder


def states_agree(a, b):
    (left, left_facts), (right, right_facts) = (checkpoint.read_tensors(path / "state.safetensors") for path in (a, b))
    assert left.keys() == right.keys()
    for name in left:
        torch.testing.assert_close(left[name], right[name], msg=lambda m, name=name: f"{name}: {m}", **CLOSE)
    for name in ("loss_G", "loss_D"):
        assert left_facts["report"][name] == pytest.approx(right_facts["report"][name], rel=1e-3)
    for name in ("ada_p", "sign_sum", "sign_count", "num_images", "num_steps"):
        assert left_facts[name] == pytest.approx(right_facts[name])


@pytest.mark.parametrize("name", ["2", "4", "nodes"])
def test_any_number_of_processes_gives_the_weights_of_one(runs, name):
    states_agree(runs / "1", runs / name)


@pytest.mark.parametrize("name", ["2", "4", "nodes"])
def test_all_processes_hold_the_same_bits(runs, name):
    digests = {str(np.load(path)["digest"]) for path in (runs / name).glob("*.npz")}
    assert len(digests) == 1


def test_each_process_reads_its_own_crops_and_together_they_read_the_batch(runs):
    (alone,) = (np.load(path) for path in (runs / "1").glob("*.npz"))
    for name in ("2", "4"):
        parts = [np.load(path) for path in sorted((runs / name).glob("*.npz"))]
        mine = np.concatenate([part["mine"] for part in parts])
        assert sorted(mine) == list(range(16))
        assert {len(part["mine"]) for part in parts} == {16 // len(parts)}
        assert np.array_equal(np.concatenate([part["seen"] for part in parts], axis=1), alone["seen"][:, mine])


@pytest.mark.parametrize(("world", "microbatch"), [(1, None), (2, None), (4, None), (2, 8)])
def test_a_share_of_whole_groups_has_the_deviations_of_the_whole_pass(world, microbatch):
    num = microbatch or 16
    settings = GeneratorConfig(**FIELDS, microbatch=microbatch).train_settings(seed=0)
    spec = GeneratorConfig(**FIELDS).network_spec()
    x = torch.randn(16, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    whole = torch.cat([minibatch_std(part, group=4) for part in x.split(num)])
    for rank in range(world):
        mine = list(places(settings, spec, Group(Rank(rank, world, rank))))
        parts = [minibatch_std(part, group=4) for part in x[mine].split(num // world)]
        assert torch.equal(torch.cat(parts), whole[mine])


def test_processes_that_cannot_share_a_pass_equally_are_told_what_can():
    settings = GeneratorConfig(**FIELDS | {"batch": 8}).train_settings(seed=0)
    spec = GeneratorConfig(**FIELDS).network_spec()
    assert len(places(settings, spec, Group(Rank(0, 2)))) == 4
    with pytest.raises(BadConfig, match=r"8 images in groups of 4 cannot be shared by 4 processes; .*multiple of 16"):
        places(settings, spec, Group(Rank(0, 4)))


def test_two_processes_go_on_from_the_state_of_one_and_one_from_that_of_two(runs, tmp_path):
    assert ended(start(together.train_steps, 1, FIELDS, 0, 3, None, tmp_path / "half of one")) == [0]
    assert ended(start(together.train_steps, 2, FIELDS, 3, STEPS, tmp_path / "half of one" / "state.safetensors", tmp_path / "to two")) == [
        0,
        0,
    ]
    states_agree(runs / "1", tmp_path / "to two")
    assert ended(start(together.train_steps, 2, FIELDS, 0, 3, None, tmp_path / "half of two")) == [0, 0]
    assert ended(start(together.train_steps, 1, FIELDS, 3, STEPS, tmp_path / "half of two" / "state.safetensors", tmp_path / "to one")) == [
        0
    ]
    states_agree(runs / "1", tmp_path / "to one")


def test_noise_in_front_of_the_discriminator_and_several_passes_are_shared_too(tmp_path):
    fields = FIELDS | {"augment": "noise", "ada_p": 1.0, "microbatch": 8}
    for world in (1, 2):
        assert ended(start(together.train_steps, world, fields, 0, 2, None, tmp_path / str(world))) == [0] * world
    states_agree(tmp_path / "1", tmp_path / "2")


def test_groups_that_span_several_passes_are_shared_too(tmp_path):
    fields = FIELDS | {"microbatch": 2}
    for world in (1, 2):
        assert ended(start(together.train_steps, world, fields, 0, 2, None, tmp_path / str(world))) == [0] * world
    states_agree(tmp_path / "1", tmp_path / "2")


def test_groups_that_span_a_batch_are_whole_in_one_process():
    settings = GeneratorConfig(**FIELDS, microbatch=2).train_settings(seed=0)
    spec = GeneratorConfig(**FIELDS).network_spec()
    shares = [list(places(settings, spec, Group(Rank(rank, 2, rank)))) for rank in range(2)]
    assert sorted(shares[0] + shares[1]) == list(range(16))
    x = torch.randn(16, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    for mine in shares:
        assert torch.equal(minibatch_std(x[mine], group=4), minibatch_std(x, group=4)[mine])
    with pytest.raises(BadConfig, match="passes of 2 images and 4 groups of statistics cannot be shared by 4 processes"):
        places(settings, spec, Group(Rank(0, 4)))


def test_a_number_that_is_not_finite_in_one_process_stops_all_of_them_before_the_update(tmp_path):
    assert ended(start(together.train_steps, 2, FIELDS, 0, 2, None, tmp_path, 1, said=tmp_path)) == [2, 2]
    first, second = ((tmp_path / f"{rank}.txt").read_text() for rank in range(2))
    assert first == second
    assert first.startswith("hdgan: gradients are not finite at image 0 (Discriminator")


STAGE = FIELDS | {"kimg": 0.16, "snapshot_kimg": 0.08}


def test_weights_that_are_not_finite_stop_all_processes_with_one_code_so_that_no_job_is_queued_again(tiles, tmp_path):
    assert ended(start(together.train_until_weights_overflow, 2, STAGE, tiles, tmp_path / "g", 4, said=tmp_path)) == [2, 2]
    first, second = ((tmp_path / f"{rank}.txt").read_text() for rank in range(2))
    assert first == second
    assert first.startswith("hdgan: at image 80 the state is not finite (G_average.synthesis.b16.torgb.bias)")


def test_a_signal_to_one_process_saves_and_ends_all_with_the_code_that_says_resume(tiles, tmp_path):
    out = tmp_path / "2-generator"
    assert ended(start(together.train_stage, 2, STAGE, tiles, out, (1, together.SIGUSR1, 4), said=tmp_path)) == [75, 75]
    assert "stopped by SIGUSR1 at 64 images" in (tmp_path / "1.txt").read_text()
    assert "stopped by a signal to another process at 64 images" in (tmp_path / "0.txt").read_text()
    assert checkpoint.last_step(out / "state") == 64
    assert ended(start(together.train_stage, 2, STAGE, tiles, out)) == [0, 0]
    assert read_json(out / "manifest.json")["counts"]["images"] == 160
    assert ended(start(together.train_stage, 2, STAGE, tiles, out)) == [0, 0]  # current: nothing to do, in both
    assert len((out / "stats.jsonl").read_text().splitlines()) == 2


@pytest.mark.parametrize("rank", [0, 1])
def test_when_one_process_dies_the_others_end_soon_and_say_so(rank, tiles, tmp_path):
    since = time.monotonic()
    codes = ended(start(together.train_stage, 2, STAGE, tiles, tmp_path / "g", (rank, together.SIGKILL, 4), said=tmp_path))
    assert codes[rank] == -together.SIGKILL
    assert codes[1 - rank] == 75
    assert time.monotonic() - since < 50
    said = (tmp_path / f"{1 - rank}.txt").read_text()
    assert f"process {1 - rank} of 2: another one ended or does not answer" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("rank", [0, 1])
def test_an_error_in_one_process_ends_all_with_its_code_and_its_line(rank, tiles, tmp_path):
    codes = ended(start(together.train_stage, 2, STAGE, tiles, tmp_path / "g", (rank, None, 4), said=tmp_path))
    assert codes == [2, 2]
    assert (tmp_path / f"{rank}.txt").read_text() == "hdgan: the disk is full\n"
    assert (tmp_path / f"{1 - rank}.txt").read_text() == f"hdgan: process {rank} of 2 stopped the training: OutOfSpace: the disk is full\n"


def test_a_folder_that_the_first_process_refuses_ends_the_others_with_the_same_code(tiles, tmp_path):
    (tmp_path / "g").mkdir()
    (tmp_path / "g" / "somebody's.txt").touch()
    assert ended(start(together.train_stage, 2, STAGE, tiles, tmp_path / "g", said=tmp_path)) == [2, 2]
    assert "holds files that are not of this stage" in (tmp_path / "1.txt").read_text()
