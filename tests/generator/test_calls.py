"""Compiled calls against plain ones. `aot_eager` traces and differentiates as the real compiler does, without the minutes in the C++ compiler."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from hdgan.errors import BadConfig
from hdgan.generator import calls, losses
from hdgan.generator.config import GeneratorConfig
from hdgan.generator.phases import train_step
from hdgan.generator.state import new_state, to_tensors

from .conftest import TINY

BACKEND = "aot_eager"


def trained(monkeypatch, *, is_compiled, label_dim=0, steps=2, **fields):
    """A state after `steps` steps, in the first of which both penalties are due."""
    monkeypatch.setattr("hdgan.generator.state.compiled_calls", lambda G, D: calls.compiled_calls(G, D, backend=BACKEND))
    config = GeneratorConfig(**TINY | {"path_weight": 2.0, "mixing": 0.9, "ada_p": 0.7, "is_compiled": is_compiled} | fields)
    settings = config.train_settings(seed=0)
    state = new_state(replace(config.network_spec(label_dim=label_dim), low_precision="float32"), settings)
    real = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    labels = torch.eye(label_dim)[torch.arange(4) % label_dim] if label_dim else None
    for _ in range(steps):
        train_step(state, real, settings, labels)
    return state


@pytest.mark.parametrize(
    "fields",
    [
        {"augment": "histology"},
        {"augment": "none", "label_dim": 2},
        {"augment": "none", "microbatch": 1, "path_weight": 0.0},
        {"augment": "none", "recompute_from_px": 8},
    ],
    ids=["augmented", "labelled", "one image a pass", "recomputed"],
)
def test_compiled_steps_train_to_the_same_weights(monkeypatch, fields):
    plain, compiled = (trained(monkeypatch, is_compiled=is_compiled, **fields) for is_compiled in (False, True))
    expected, found = to_tensors(plain)[0], to_tensors(compiled)[0]
    assert plain.report.keys() == compiled.report.keys()
    assert plain.report["r1"] > 0
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-3, atol=1e-5, msg=lambda text, name=name: f"{name}: {text}")


def test_both_penalties_have_equal_gradients_in_every_parameter(monkeypatch):
    state = trained(monkeypatch, is_compiled=False, steps=1)
    image = torch.rand(3, 3, 16, 16) * 2 - 1
    z = torch.randn(3, state.G.spec.z_dim)
    direction = torch.randn(3, 3, 16, 16)
    found = []
    for made in (calls.plain_calls(state.G, state.D), calls.compiled_calls(state.G, state.D, backend=BACKEND)):
        ws = state.G.spread(state.G.mapping(z))
        penalties = made.image_gradient(image, None).square().sum() + losses.lengths(made.latent_gradient(ws, {}, direction)).square().sum()
        parameters = [*state.G.parameters(), *state.D.parameters()]
        found.append(torch.autograd.grad(penalties, parameters, allow_unused=True, materialize_grads=True))
    assert sum(bool(gradient.any()) for gradient in found[0]) > len(found[0]) / 2
    for expected, gradient in zip(*found, strict=True):
        torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-6)


def test_r1_by_the_chain_rule_is_r1_through_the_augmentation(monkeypatch):
    state = trained(monkeypatch, is_compiled=False, steps=1)
    real = torch.rand(3, 3, 16, 16) * 2 - 1

    def augment(x):
        return (x.flip(3) * 1.3 + 0.2 * x.square()).clamp(-1, 1)

    made = calls.plain_calls(state.G, state.D)
    whole = losses.r1_penalty(lambda x: state.D(augment(x)), real)
    through = losses.r1_penalty_through(augment, lambda seen: made.image_gradient(seen, None), real)
    torch.testing.assert_close(through, whole, rtol=1e-5, atol=1e-9)
    weights = list(state.D.parameters())
    expected, found = (torch.autograd.grad(p.sum(), weights, allow_unused=True, materialize_grads=True) for p in (whole, through))
    for a, b in zip(expected, found, strict=True):
        torch.testing.assert_close(b, a, rtol=1e-4, atol=1e-7)


def test_real_and_drawn_images_give_the_same_features_in_one_call_as_apart(monkeypatch):
    state = trained(monkeypatch, is_compiled=False, steps=1)
    real, fake = torch.rand(2, 4, 3, 16, 16) * 2 - 1
    apart = calls.plain_calls(state.G, state.D)
    assert not apart.is_joined
    for one, other in zip(replace(apart, is_joined=True).features_of_both(real, fake), apart.features_of_both(real, fake), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_a_machine_that_cannot_compile_is_told_so(monkeypatch):
    state = trained(monkeypatch, is_compiled=False, steps=0)
    with pytest.raises(BadConfig, match=r"is_compiled.*cannot compile for cpu"):
        calls.compiled_calls(state.G, state.D, backend="no_such_backend")
