from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from hdgan.generator import phases, trial
from hdgan.generator.config import GeneratorConfig
from hdgan.generator.networks import Discriminator
from hdgan.generator.state import new_state, to_tensors
from hdgan.training.checkpoint import write_tensors

from .conftest import TINY


@pytest.fixture
def clock(monkeypatch):
    """Time that passes only in steps: 1 s each, R1 adds 0.5 s, the path penalty 2 s."""
    now = [0.0]

    def step(state, real, settings, labels):
        assert labels is None
        now[0] += 1.0 + 0.5 * bool(settings.gamma) + 2.0 * bool(settings.path_weight)

    monkeypatch.setattr(trial, "train_step", step)
    monkeypatch.setattr(trial.time, "perf_counter", lambda: now[0])


def settings_of(**fields):
    return GeneratorConfig(**TINY | fields).train_settings(seed=0)


def test_each_penalty_counts_as_often_as_it_is_taken(clock):
    found = trial.try_training(GeneratorConfig(**TINY).network_spec(), settings_of(path_weight=2.0, gamma=1.0))
    assert (found.plain_seconds, found.r1_seconds, found.path_seconds) == (1.0, 0.5, 2.0)
    assert found.seconds_per_kimg == pytest.approx((1 + 0.5 / 16 + 2 / 4) * 1000 / 4)
    assert trial.try_training(GeneratorConfig(**TINY).network_spec(), settings_of(gamma=0.0)).seconds_per_kimg == 250


def test_passes_of_a_batch_are_measured_one_at_a_time(clock):
    found = trial.try_training(GeneratorConfig(**TINY).network_spec(), settings_of(batch=8, microbatch=4, gamma=0.0))
    assert found.batch == 4
    assert found.seconds_per_kimg == 250


@pytest.mark.parametrize(
    ("microbatch", "group", "of_losses", "of_r1"),
    [(4, 4, 3, 1), (2, 4, 6, 3), (1, 4, 6, 3), (1, 0, 3, 1)],
    ids=["a group a pass", "half a group a pass", "an image a pass", "no statistics"],
)
def test_a_trial_runs_the_discriminator_as_often_for_each_image_as_the_training(monkeypatch, microbatch, group, of_losses, of_r1):
    seen = []
    features = Discriminator.features
    monkeypatch.setattr(Discriminator, "features", lambda D, x: (seen.append(len(x)), features(D, x))[1])
    spec = replace(GeneratorConfig(**TINY).network_spec(), minibatch_std_group=group)
    settings = replace(settings_of(batch=8, microbatch=microbatch, gamma=1.0), r1_interval=1)
    phases.train_step(new_state(spec, settings), torch.zeros(8, 3, 16, 16), settings)
    assert sum(seen) / 8 == of_losses + of_r1

    steps = []

    def step(state, real, settings, labels):
        seen.clear()
        phases.train_step(state, real, settings)
        steps.append((sum(seen) / len(real), bool(settings.gamma)))

    monkeypatch.setattr(trial, "train_step", step)
    monkeypatch.setattr(trial, "_ENOUGH_S", 0.0)
    trial.try_training(spec, settings)
    assert set(steps) == {(of_losses, False), (of_losses + of_r1, True)}


@pytest.mark.parametrize(("microbatch", "tried"), [(4, 4), (1, 2), (None, 8)])
def test_the_images_that_wait_for_their_pass_count_as_memory(clock, monkeypatch, microbatch, tried):
    monkeypatch.setattr(trial, "_most_memory", lambda _device: 0.0)
    spec, settings = GeneratorConfig(**TINY).network_spec(), settings_of(batch=8, microbatch=microbatch)
    num_values = 3 * 16 * 16
    for reuses_fakes, kept in ((True, 5), (False, 1)):  # bytes of each: in 8 bits, and what was drawn in 32
        found = trial.try_training(spec, replace(settings, reuses_fakes=reuses_fakes))
        assert found.batch == tried
        assert found.memory_bytes == (8 - tried) * num_values * kept


def test_the_disk_for_states_is_what_states_take(tmp_path):
    spec, settings = GeneratorConfig(**TINY).network_spec(), settings_of()
    found = trial.try_training(spec, settings)
    state = new_state(spec, settings)
    write_tensors(tmp_path / "g", state.G_average.state_dict(), {})
    assert (tmp_path / "g").stat().st_size == pytest.approx(found.weights_bytes, rel=0.5)
    networks = sum(value.numel() * 4 for value in to_tensors(state)[0].values())
    assert found.states_bytes > 4 * networks  # Adam's moments come with the first step
    assert found.memory_bytes > 1e7
    assert found.seconds_per_kimg > 0


def test_networks_that_take_labels_are_given_them_and_counted(monkeypatch):
    given = []
    step = phases.train_step
    monkeypatch.setattr(trial, "train_step", lambda *a: (given.append(a[3]), step(*a)))
    monkeypatch.setattr(trial, "_ENOUGH_S", 0.0)
    plain, labelled = (
        trial.try_training(GeneratorConfig(**TINY).network_spec(label_dim=num), settings_of(gamma=1.0, path_weight=2.0)) for num in (0, 3)
    )
    assert [None if labels is None else labels.argmax(dim=1).tolist() for labels in (given[0], given[-1])] == [None, [0, 1, 2, 0]]
    # The generator's embedding 3 x 8 + 8, and the 8 numbers more that each of its 8 first units takes.
    assert labelled.weights_bytes - plain.weights_bytes == 4 * (32 + 64)
    assert labelled.states_bytes > plain.states_bytes
