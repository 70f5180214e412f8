from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdgan.errors import BadConfig
from hdgan.features.planner import GIB, Budget, Work, choose, needs
from hdgan.generator.footprint import weight_bytes
from hdgan.generator.spec import NetworkSpec, TapSpec

SPEC = NetworkSpec(resolution=4096, channel_base=32768)
PAPER = Work(
    taps=(*SPEC.taps(5), TapSpec("image", 3, 4096)),
    resolution=4096,
    num_images=36,
    bytes_each=4,
    weights=weight_bytes(SPEC),
    table_pixels=16 * 2048,
    validation_pixels=4 * 8192,
    num_validation=4,
    members=5,
)
PLENTY = Budget(memory=1000 * GIB, disk=10_000 * GIB)


def test_what_each_source_stores_follows_from_the_shapes():
    native, recompute, upsampled = needs(PAPER)
    assert native.disk == 36 * (2 * 992 * 2**20 + 3 * 4096**2 * 4)
    assert upsampled.disk == 36 * 499 * 4096**2 * 4
    assert recompute.disk == 0
    assert [need.source for need in (native, recompute, upsampled)] == ["native", "recompute", "upsampled"]


def test_sixteen_images_of_4096_px_are_fitted_in_less_than_six_gb_whatever_is_recomputed():
    for num_images in (16, 36):
        native, recompute, _ = needs(dataclasses.replace(PAPER, num_images=num_images), memory_budget=6e9)
        assert max(native.memory, recompute.memory) < 6e9


def test_native_maps_are_taken_where_they_fit_and_images_drawn_again_where_the_disk_is_too_small():
    assert choose(PAPER, wish=None, budget=PLENTY).source == "native"
    small = choose(PAPER, wish=None, budget=Budget(1000 * GIB, 10 * GIB))
    assert small.source == "recompute"
    assert "more than the budget" in small.reason
    assert choose(PAPER, wish="upsampled", budget=PLENTY).reason == "features.source asks for it"


def test_what_a_person_allowed_refuses_and_what_the_machine_has_does_not():
    tight = Budget(memory=0.5 * GIB, disk=0.5 * GIB)
    assert choose(PAPER, wish=None, budget=tight).source == "recompute"
    with pytest.raises(
        BadConfig,
        match=r"memory_budget_gib: 0\.5 GiB of memory.*recompute needs [34]\.\d* GiB.*native maps need 3\.\d* GiB, and 76\.\d GiB of disk",
    ):
        choose(PAPER, wish=None, budget=dataclasses.replace(tight, is_memory_given=True))
    with pytest.raises(BadConfig, match=r"disk_budget_gib: 0\.5 GiB of disk.*native needs 7\d\.?\d* GiB"):
        choose(PAPER, wish="native", budget=dataclasses.replace(tight, is_disk_given=True))
    assert choose(PAPER, wish=None, budget=dataclasses.replace(tight, is_disk_given=True)).source == "recompute"


@given(st.floats(0.1, 100), st.integers(1, 20), st.integers(1, 300_000))
def test_as_many_classifiers_share_a_pass_as_there_is_room_for(budget_gib, members, pixels):
    work = dataclasses.replace(PAPER, members=members, table_pixels=16 * pixels)
    found = needs(work, memory_budget=budget_gib * GIB)[1]
    assert 1 <= found.members_at_once <= members
    if found.members_at_once > 1:
        assert found.fitting <= budget_gib * GIB
    if found.members_at_once < members:
        assert needs(work, memory_budget=found.fitting + work.table_pixels * (4 * work.num_channels + 8) + GIB)[1].members_at_once > 1
        assert needs(work, memory_budget=1e15)[1].fitting > budget_gib * GIB
    assert needs(work, memory_budget=1e15)[1].members_at_once == members


def test_half_precision_halves_the_disk_and_never_takes_more_memory():
    full, half = (needs(dataclasses.replace(PAPER, bytes_each=size)) for size in (4, 2))
    for ours, theirs in zip(half, full, strict=True):
        assert ours.disk == theirs.disk / 2
        assert ours.memory <= theirs.memory


@given(st.integers(1, 600), st.booleans(), st.floats(0.5, 20))
def test_tables_are_as_wide_as_what_is_learnt_from(components, is_calibrated, budget_gib):
    shrunk = dataclasses.replace(PAPER, components=components, is_calibrated=is_calibrated, table_pixels=2_000_000)
    whole = dataclasses.replace(shrunk, components=None)
    num = PAPER.num_channels
    assert shrunk.num_learnt == min(components, num)
    saved = 4 * (num - shrunk.num_learnt) * (shrunk.table_pixels + shrunk.validation_pixels)
    for ours, theirs in zip(needs(shrunk, memory_budget=0), needs(whole, memory_budget=0), strict=True):
        assert (ours.disk, ours.extracting) == (theirs.disk, theirs.extracting)
        assert ours.fitting <= theirs.fitting
        if ours.source == "native" and components > 100:  # else what remains is the validation pixels, all channels, for the temperature
            assert ours.fitting == pytest.approx(theirs.fitting - saved)
    again, theirs = (needs(work, memory_budget=budget_gib * GIB)[1] for work in (shrunk, whole))
    assert again.members_at_once >= theirs.members_at_once


def test_finding_components_and_reading_all_channels_once_more_are_planned():
    few = dataclasses.replace(PAPER, components=10, members=1, table_pixels=100, validation_pixels=4_000_000)
    blind = dataclasses.replace(few, is_calibrated=False)
    for calibrated, ours in zip(needs(few), needs(blind), strict=True):
        assert calibrated.fitting > ours.fitting
        assert calibrated.fitting > 4 * few.num_channels * few.validation_pixels
    wide = dataclasses.replace(blind, taps=(TapSpec("b4.conv1", 20_000, 4),), validation_pixels=100)
    assert needs(wide)[0].fitting > needs(dataclasses.replace(wide, components=None))[0].fitting + 8 * 20_000**2
