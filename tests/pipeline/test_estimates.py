from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from hdgan.generator import presets
from hdgan.generator.networks import Discriminator, Generator
from hdgan.generator.phases import train_step
from hdgan.generator.settings import TrainSettings
from hdgan.generator.shares import path_passes
from hdgan.generator.spec import NetworkSpec
from hdgan.generator.state import new_state
from hdgan.pipeline import estimates
from hdgan.training.distributed import ALONE

# Multiply-adds counted op by op, in 1e9, of generator and discriminator (published networks).
COUNTED = {(256, 16384): (14.9, 15.4), (1024, 32768): (74.3, 76.7), (4096, 32768): (103.9, 107.0), (4096, 65536): (355.9, 367.3)}
# GiB kept for backward, per image, by tracing shapes; (resolution, channel base, 16-bit blocks).
TRACED = {(512, 32768, 4): 1.48, (1024, 32768, 4): 2.77, (4096, 16384, 4): 5.68, (4096, 32768, 4): 10.88, (4096, 32768, 0): 16.15}


@pytest.mark.parametrize(("resolution", "base"), COUNTED)
def test_multiply_adds_follow_the_shapes(resolution, base):
    spec = NetworkSpec(resolution=resolution, channel_base=base)
    g, d = COUNTED[resolution, base]
    assert estimates.generator_macs(spec) / 1e9 == pytest.approx(g, rel=0.06)
    assert estimates.discriminator_macs(spec) / 1e9 == pytest.approx(d, rel=0.06)


@pytest.mark.parametrize(("resolution", "base", "blocks"), TRACED)
def test_memory_of_a_training_pass_is_near_the_traced_one(resolution, base, blocks):
    spec = NetworkSpec(resolution=resolution, channel_base=base, low_precision="float16", num_low_precision=blocks)
    one, two = (estimates.training_bytes(spec, images) / estimates.GIB for images in (1, 2))
    assert two - one == pytest.approx(TRACED[resolution, base, blocks], rel=0.1)


@pytest.mark.parametrize("num", [0, 2, 40])
def test_the_weights_that_labels_add_are_counted_to_the_last(num):
    plain, labelled = (NetworkSpec(resolution=32, channel_base=1024, z_dim=16, w_dim=24, label_dim=labels) for labels in (0, num))
    each = [sum(p.numel() for network in (Generator, Discriminator) for p in network(spec).parameters()) for spec in (plain, labelled)]
    assert estimates._label_weights(labelled) == each[1] - each[0]
    assert estimates.training_bytes(labelled, 0) - estimates.training_bytes(plain, 0) == 5 * 4 * (each[1] - each[0])


def test_a_published_training_speed_is_met_within_a_factor_of_two():
    spec = NetworkSpec(resolution=1024, **presets.network("auto", 1024))
    settings = TrainSettings(**presets.training("auto", 1024))
    per_thousand = 1000 * estimates.training_flops(spec, settings) / estimates.GPU_FLOPS
    assert 45 < per_thousand < 180


def test_reusing_fakes_and_dropping_regularisers_costs_less():
    spec = NetworkSpec(resolution=64)
    full = TrainSettings(kimg=1, batch=8, gamma=1.0)
    lean = dataclasses.replace(full, reuses_fakes=True, path_weight=0.0)
    assert estimates.training_flops(spec, lean) < estimates.training_flops(spec, full)


def test_statistics_that_span_passes_cost_another_forward_pass_and_others_nothing():
    spec = NetworkSpec(resolution=64)
    whole = TrainSettings(kimg=1, batch=8, gamma=1.0)
    one, four = (estimates.training_flops(spec, dataclasses.replace(whole, microbatch=num)) for num in (1, 4))
    assert four == estimates.training_flops(spec, whole)
    assert 1.2 < one / four < 1.5


class Counted(TorchDispatchMode):
    """The floating-point operations of every convolution and matrix product, forward and backward, by torch's formulas.

    Torch's own `FlopCounterMode` also asks in which module each is done, which fails where a gradient is differentiated again.
    """

    def __init__(self):
        super().__init__()
        self.flops = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if func._overloadpacket in flop_registry:
            self.flops += flop_registry[func._overloadpacket](*args, **(kwargs or {}), out_val=out)
        return out


def test_operations_are_counted_as_torch_counts_them():
    D, image = Discriminator(NetworkSpec(resolution=16, channel_base=128, channel_max=8)), torch.zeros(2, 3, 16, 16)
    with FlopCounterMode(display=False) as theirs:
        D(image).sum().backward()
    with Counted() as ours:
        D(image).sum().backward()
    assert ours.flops == theirs.get_total_flops() > 0


def test_a_whole_cycle_of_steps_takes_what_the_plan_says():
    """Both penalties among them: R1 is due once in 16 steps, path lengths four times."""
    spec = NetworkSpec(resolution=64, z_dim=32, w_dim=32, channel_base=512, channel_max=32)
    settings = TrainSettings(kimg=1, batch=2, gamma=1.0, augment="none", mixing=0.0)
    state = new_state(spec, settings)
    with Counted() as counted:
        for _ in range(16):
            train_step(state, torch.zeros(2, 3, 64, 64), settings)
    assert estimates.training_flops(spec, settings) == pytest.approx(counted.flops / state.num_images, rel=0.03)


def counted_and_planned(**fields):
    """Operations for each image of a step in which groups of 4 meet, as torch counts them and as the plan does."""
    spec = NetworkSpec(resolution=32, z_dim=8, w_dim=8, channel_base=512, channel_max=16, minibatch_std_group=4)
    lean = TrainSettings(kimg=1, batch=4, gamma=0.0, path_weight=0.0, augment="none", mixing=0.0)
    settings = dataclasses.replace(lean, **fields)
    state = new_state(spec, settings)
    with Counted() as counted:
        train_step(state, torch.zeros(4, 3, 32, 32), settings)
    return np.array([counted.flops / 4, estimates.training_flops(spec, settings)])


@pytest.mark.parametrize("reuses_fakes", [True, False])
@pytest.mark.parametrize("microbatch", [2, 1])
def test_what_the_plan_adds_for_statistics_that_span_passes_is_what_a_step_takes_more(microbatch, reuses_fakes):
    whole = counted_and_planned(reuses_fakes=reuses_fakes)
    counted, planned = counted_and_planned(reuses_fakes=reuses_fakes, microbatch=microbatch) - whole
    assert planned == pytest.approx(counted, rel=0.05)
    assert whole[1] == pytest.approx(whole[0], rel=0.03)


@pytest.mark.parametrize("penalty", [{"gamma": 1.0, "r1_interval": 1}, {"path_weight": 2.0, "path_interval": 1}], ids=["R1", "path"])
@pytest.mark.parametrize("microbatch", [4, 2, 1])
def test_what_the_plan_adds_for_a_penalty_is_what_a_step_takes_more(microbatch, penalty):
    counted, planned = counted_and_planned(microbatch=microbatch, **penalty) - counted_and_planned(microbatch=microbatch)
    assert planned == pytest.approx(counted, rel=0.05)


@pytest.mark.parametrize(
    ("batch", "microbatch", "group"),
    [(1, None, 1), (2, 1, 0), (3, None, 3), (6, 3, 3), (3, 1, 3)],
)
def test_path_lengths_are_planned_of_as_many_images_as_take_them(batch, microbatch, group):
    spec = NetworkSpec(resolution=16, minibatch_std_group=group)
    settings = TrainSettings(kimg=1, batch=batch, microbatch=microbatch, gamma=0.0, path_interval=1)
    without = dataclasses.replace(settings, path_weight=0.0)
    planned = estimates.training_flops(spec, settings) - estimates.training_flops(spec, without)
    num = sum(part.total for part in path_passes(settings, spec, ALONE))
    assert planned * batch == pytest.approx(12 * estimates.generator_macs(spec) * num)


def most_allocated(work):
    """The most bytes that torch's allocator held for what `work` did, beyond what was there before."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        work()
    events = [event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
    return np.cumsum([event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())]).max()


R1, PATH = {"gamma": 1.0, "r1_interval": 1}, {"path_weight": 2.0, "path_interval": 1}


FULL = {"channel_base": 512, "channel_max": 32}
LOW = {"channel_base": 2048, "channel_max": 128, "low_precision": "bfloat16", "num_low_precision": 4}


@pytest.mark.parametrize(
    ("penalty", "microbatch", "from_px", "network"),
    [
        *((*row, FULL) for row in [({}, 4, None), ({}, 4, 64), ({}, 4, 32), ({}, 4, 8), (R1, 4, None), (R1, 4, 8)]),
        *((*row, FULL) for row in [(PATH, 4, 8), (PATH, 1, None), (PATH, 1, 8)]),
        *((*row, LOW) for row in [({}, 4, None), ({}, 4, 8), (R1, 4, None), (R1, 4, 8), (PATH, 4, None), (PATH, 4, 8)]),
    ],
)
def test_the_peak_of_a_step_is_planned_with_and_without_recomputed_blocks(penalty, microbatch, from_px, network):
    spec = NetworkSpec(resolution=64, z_dim=16, w_dim=16, minibatch_std_group=0, **network)
    lean = TrainSettings(kimg=1, batch=4, microbatch=microbatch, gamma=0.0, path_weight=0.0, augment="none", mixing=0.0)
    settings = dataclasses.replace(lean, recompute_from_px=from_px, **penalty)
    state, real = new_state(spec, settings), torch.zeros(4, 3, 64, 64)
    train_step(state, real, settings)  # Adam's moments come with the first step
    found = most_allocated(lambda: train_step(state, real, settings))
    if microbatch < 4:
        found -= sum(parameter.nbytes for parameter in state.G.parameters())  # gradients that wait for the next pass
    planned = estimates.peak_bytes(spec, settings) - estimates.training_bytes(spec, 0)
    assert planned == pytest.approx(found, rel=0.12)


def test_recomputing_saves_half_of_the_losses_and_a_quarter_where_r1_keeps_all():
    spec = NetworkSpec(resolution=1024, channel_base=32768)
    losses = TrainSettings(kimg=1, batch=4, gamma=0.0, path_weight=0.0)
    shares = []
    for settings in (losses, dataclasses.replace(losses, gamma=1.0)):
        whole, less = (estimates.peak_bytes(spec, dataclasses.replace(settings, recompute_from_px=px)) for px in (None, 8))
        assert whole == estimates.training_bytes(spec, 4)
        shares.append(less / whole)
    assert shares == pytest.approx([0.5, 0.77], abs=0.05)


@pytest.mark.parametrize("low_precision", ["float32", "float16"])
def test_the_more_blocks_are_recomputed_the_less_is_kept(low_precision):
    spec = NetworkSpec(resolution=1024, channel_base=16384, low_precision=low_precision, num_low_precision=4)
    lean = TrainSettings(kimg=1, batch=1, gamma=0.0, path_weight=0.0)
    found = [estimates.peak_bytes(spec, dataclasses.replace(lean, recompute_from_px=px)) for px in (None, 1024, 512, 256, 128)]
    assert found == sorted(found, reverse=True)
    assert estimates.peak_bytes(spec, dataclasses.replace(lean, recompute_from_px=2048)) == found[0]


def test_the_images_of_a_batch_wait_in_memory_for_their_passes():
    spec = NetworkSpec(resolution=4096, **presets.network("large", 4096))
    settings = TrainSettings(**presets.training("large", 4096))
    assert estimates.held_bytes(spec, settings) == 32 * 3 * 4096**2
    assert estimates.held_bytes(spec, dataclasses.replace(settings, reuses_fakes=True)) == 5 * 32 * 3 * 4096**2


def test_labelling_costs_grow_with_the_heads():
    spec = NetworkSpec(resolution=64)
    one = estimates.labelling_flops(spec, num_blocks=5, hidden=(128, 32), heads=1)
    assert estimates.labelling_flops(spec, num_blocks=5, hidden=(128, 32), heads=10) == pytest.approx(10 * one)
