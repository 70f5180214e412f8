from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from hdgan.generator import accumulate, losses, phases
from hdgan.generator.config import GeneratorConfig
from hdgan.generator.networks import Discriminator
from hdgan.generator.settings import TrainSettings
from hdgan.generator.spec import NetworkSpec
from hdgan.generator.state import new_state, to_tensors

from .conftest import TINY

SPEC = NetworkSpec(resolution=16, z_dim=8, w_dim=8, channel_base=128, channel_max=8, minibatch_std_group=4)


def gradients(network: torch.nn.Module) -> torch.Tensor:
    return torch.cat([torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten() for p in network.parameters()])


def whole_and_apart(microbatch: int, label_dim: int = 0):
    """Two equal discriminators, a batch of 8 cut into passes, its labels."""
    torch.manual_seed(1)
    whole, apart = (Discriminator(replace(SPEC, label_dim=label_dim)) for _ in range(2))
    apart.load_state_dict(whole.state_dict())
    images = torch.rand(8, 3, 16, 16) * 2 - 1
    label = torch.eye(label_dim)[torch.arange(8) % label_dim] if label_dim else None
    return whole, apart, images, images.split(microbatch), label


@pytest.mark.parametrize(("microbatch", "label_dim"), [(1, 0), (2, 0), (1, 3)])
def test_gradients_of_passes_are_those_of_the_whole_batch(microbatch, label_dim):
    whole, apart, images, parts, label = whole_and_apart(microbatch, label_dim)
    expected = losses.generator_loss(whole(images, label))
    expected.backward()
    passes = [lambda part=part: apart.features(part) for part in parts]
    loss = accumulate.backward(passes, lambda features: losses.generator_loss(apart.judge(features, label)))
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(gradients(apart), gradients(whole), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("microbatch", "label_dim"), [(1, 0), (2, 0), (1, 3)])
def test_r1_of_passes_is_that_of_the_whole_batch_to_the_second_order(microbatch, label_dim):
    whole, apart, images, parts, label = whole_and_apart(microbatch, label_dim)
    expected = losses.r1_penalty(lambda x: whole(x, label), images)
    (expected.mean() * 5.0).backward()
    penalties = accumulate.r1_backward(parts, lambda _, x: apart.features(x), lambda features: apart.judge(features, label), weight=5.0)
    torch.testing.assert_close(penalties, expected, rtol=1e-4, atol=1e-8)
    for (name, ours), theirs in zip(apart.named_parameters(), whole.parameters(), strict=True):
        if theirs.grad is not None:  # a bias of the last layer has none
            torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-5 * float(theirs.grad.abs().max()), msg=name)


def test_the_statistics_are_alive_at_one_image_per_pass_and_would_be_dead_without():
    _, D, _, parts, _ = whole_and_apart(1)
    features = accumulate.gathered([lambda part=part: D.features(part) for part in parts])
    apart = torch.cat([D(part) for part in parts])
    assert float((D.judge(features) - apart).detach().abs().min()) > 1e-3
    weight = D.b4.conv.weight
    seen = {}
    for name, logits in (("spanning", D.judge(features)), ("apart", apart)):
        (gradient,) = torch.autograd.grad(logits.sum(), weight)
        seen[name] = float(gradient[:, -1].abs().sum())
    assert seen["spanning"] > 300 * seen["apart"]


def trained(microbatch, **fields):
    config = GeneratorConfig(**TINY | {"batch": 4}, microbatch=microbatch, augment="none", low_precision="float32", **fields)
    settings = replace(config.train_settings(seed=0), mixing=0.0)
    state = new_state(SPEC, settings)
    real = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    fakes = [part.clone() for part in (real.flip(0) * 0.5).split(microbatch)]
    return state, real, fakes, settings


@pytest.mark.parametrize("microbatch", [1, 2])
def test_the_discriminator_learns_from_passes_what_it_learns_from_the_batch(microbatch):
    found = {}
    for num in (4, microbatch):
        state, real, fakes, settings = trained(num)
        settings = replace(settings, reuses_fakes=True)
        steps = []
        state.D_optimiser.step = lambda steps=steps, D=state.D: steps.append(gradients(D))  # type: ignore[method-assign]
        phases._discriminator_phase(state, real, fakes, settings)
        phases._r1_phase(state, real, settings)
        found[num] = (*steps, state.report["loss_D"], state.report["r1"], state.sign_sum, state.sign_count)
    assert len(found[4]) == 6
    for whole, apart in zip(found[4], found[microbatch], strict=True):
        torch.testing.assert_close(apart, whole, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("reuses_fakes", [True, False])
def test_a_whole_step_in_passes_of_one_image_tracks_each_latent_once_and_repeats_itself(reuses_fakes):
    ends = []
    for _ in range(2):
        state, real, _, settings = trained(1, gamma=1.0, path_weight=2.0, ada_p=0.3)
        settings = replace(settings, reuses_fakes=reuses_fakes, augment="bgc")
        tracked = []
        state.G.mapping.track = lambda w, tracked=tracked: tracked.append(len(w))
        for _ in range(2):
            phases.train_step(state, real, settings)
        # Four images in the step of G, four in that of D unless they are the same, and two of path lengths in the first step.
        assert sum(tracked) == (4 if reuses_fakes else 8) * 2 + 2
        ends.append(to_tensors(state)[0])
    assert all(torch.equal(ends[0][name], value) for name, value in ends[1].items())


def test_images_of_a_pass_of_the_generator_equal_those_of_its_second_run():
    state, real, _, settings = trained(1)
    settings = replace(settings, reuses_fakes=True)
    drawn = []
    features = state.D.features
    state.D.features = lambda x: (drawn.append(x.detach()), features(x))[1]  # type: ignore[method-assign]
    fakes = phases._generator_phase(state, settings)
    assert len(drawn) == 8
    for first, again, kept in zip(drawn[:4], drawn[4:], fakes, strict=True):
        assert torch.equal(first, again)
        assert torch.equal(first, kept)


@pytest.mark.parametrize(
    ("group", "microbatch", "batch", "spans"), [(4, 1, 32, True), (4, 4, 32, False), (4, 1, 1, False), (0, 1, 8, False)]
)
def test_statistics_span_passes_only_where_a_group_does_not_fit_into_one(group, microbatch, batch, spans):
    assert TrainSettings(kimg=1, gamma=1, batch=batch, microbatch=microbatch).spans_passes(group=group) == spans


def test_a_discriminator_that_is_frozen_up_to_its_last_block_still_learns_there():
    state, real, _, settings = trained(1, gamma=1.0)
    settings = replace(settings, freeze_d=7)
    before = {name: value.clone() for name, value in state.D.state_dict().items()}
    phases.train_step(state, real, settings)
    changed = {name.split(".")[0] for name, value in state.D.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"b4"}


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_blocks_of_sixteen_bits_carry_gradients_back_as_well(precision):
    found = {}
    for name in ("float32", precision):
        spec = replace(SPEC, low_precision=name, num_low_precision=4, clamp=256.0 if name == "float16" else None)
        state, real, fakes, settings = trained(1)
        state.D = Discriminator(spec)
        state.D.load_state_dict(new_state(SPEC, settings).D.state_dict())
        state.D_optimiser.step = lambda: None  # type: ignore[method-assign]
        state.D_optimiser.zero_grad = lambda **_: None  # type: ignore[method-assign]
        phases._discriminator_phase(state, real, fakes, replace(settings, reuses_fakes=True))
        phases._r1_phase(state, real, settings)
        found[name] = gradients(state.D)
    assert float(torch.nn.functional.cosine_similarity(found["float32"], found[precision], dim=0)) > 0.99
