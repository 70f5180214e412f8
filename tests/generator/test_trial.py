from __future__ import annotations

import pytest

from hdgan.generator import trial
from hdgan.generator.config import GeneratorConfig
from hdgan.generator.state import new_state, to_tensors
from hdgan.training.checkpoint import write_tensors

from .conftest import TINY


@pytest.fixture
def clock(monkeypatch):
    """Time that passes only in steps: 1 s each, R1 adds 0.5 s, the path penalty 2 s."""
    now = [0.0]

    def step(state, real, settings):
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
    found = trial.try_training(GeneratorConfig(**TINY).network_spec(), settings_of(microbatch=2, gamma=0.0))
    assert found.batch == 2
    assert found.seconds_per_kimg == 500


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
