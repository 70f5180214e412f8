"""The schedule of Adam's step."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from hdgan.errors import BadConfig
from hdgan.generator.config import GeneratorConfig
from hdgan.generator.settings import TrainSettings


def settings_of(**fields):
    return GeneratorConfig(**fields).train_settings(seed=0)


def test_the_step_is_full_until_it_falls_and_ends_at_a_fifth():
    settings = settings_of(kimg=10, lr_decay_from=0.5)
    assert [settings.step_share(n) for n in (0, 5000, 7500, 10000, 11000)] == pytest.approx([1, 1, 0.6, 0.2, 0.2])


def test_each_cycle_begins_with_the_full_step_and_falls_by_its_own_length():
    settings = settings_of(kimg=[10, 4, 2], lr_decay_from=0.5)
    assert settings.kimg == 16
    assert [settings.step_share(n) for n in (9999, 10000, 12000, 13000, 13999, 14000, 15500, 16000)] == pytest.approx(
        [0.2, 1, 1, 0.6, 0.2, 1, 0.6, 0.2], abs=1e-5
    )


@given(cycles=st.lists(st.floats(0.01, 500), min_size=2, max_size=5), share=st.floats(0, 1), at=st.floats(0, 1))
def test_a_further_cycle_changes_no_step_before_it(cycles, share, at):
    long, short = (settings_of(kimg=some, lr_decay_from=share) for some in (cycles, cycles[:-1]))
    num_images = int(at * 999 * sum(cycles[:-1]))
    assert long.step_share(num_images) == short.step_share(num_images)
    assert 0.2 <= long.step_share(num_images) <= 1


@given(kimg=st.floats(0.01, 500), share=st.floats(0, 1), num_images=st.integers(0, 600_000))
def test_one_cycle_is_a_plain_length(kimg, share, num_images):
    plain, cycle = (settings_of(kimg=length, lr_decay_from=share) for length in (kimg, [kimg]))
    assert plain.step_share(num_images) == cycle.step_share(num_images)


def test_cycles_that_are_not_the_run_are_refused():
    with pytest.raises(BadConfig, match="cycles of 30 thousand images in a run of 20"):
        TrainSettings(kimg=20, cycles_kimg=(10, 20), batch=4, lr=0.002, gamma=1)


@pytest.mark.parametrize(
    ("kimg", "where"), [([], "cycle"), ([10, 0], "cycle"), ([-1], "cycle"), ([1, "x"], "cycle"), (0, "number"), ("long", "number")]
)
def test_a_cycle_without_length_is_refused_as_what_it_was_meant_for(kimg, where):
    with pytest.raises(ValidationError) as found:
        GeneratorConfig(kimg=kimg)
    assert {error["loc"][:2] for error in found.value.errors()} == {("kimg", where)}
