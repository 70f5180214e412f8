"""How a training computes in float32 on a GPU, by the flags that torch is told (a CPU heeds none of them)."""

from __future__ import annotations

import pytest
import torch

from hdgan.generator import phases, trial
from hdgan.generator.config import GeneratorConfig
from hdgan.generator.networks import Discriminator, Generator
from hdgan.generator.stage import run_generator
from hdgan.generator.state import new_state
from hdgan.store.stage import read_manifest

from .conftest import TINY

FIELDS = TINY | {"kimg": 0.008, "snapshot_kimg": 0.004, "path_weight": 2.0, "ada_p": 0.3}


@pytest.fixture
def seen(monkeypatch):
    """What torch is told whenever a network is called: of convolutions and of other products, and whether the averaged generator draws."""
    told = []

    def note(network):
        network.register_forward_pre_hook(
            lambda called, _: told.append(
                (torch.backends.cudnn.conv.fp32_precision, torch.backends.cuda.matmul.fp32_precision, not called.training)
            )
        )
        # Gradients of both orders are taken where the flags are the same.
        for parameter in network.parameters():
            if parameter.requires_grad:
                parameter.register_hook(lambda _: told.append((torch.backends.cudnn.conv.fp32_precision, "", False)))

    for kind, parts in ((Generator, ("synthesis", "mapping")), (Discriminator, ("b16",))):
        built = kind.__init__

        def noted(self, spec, built=built, parts=parts):
            built(self, spec)
            for part in parts:
                note(getattr(self, part))

        monkeypatch.setattr(kind, "__init__", noted)
    return told


@pytest.mark.parametrize(("allow_tf32", "convolutions"), [(False, "ieee"), (True, "tf32")])
def test_convolutions_of_a_step_round_where_they_are_let_and_nothing_else_does(allow_tf32, convolutions, seen):
    config = GeneratorConfig(**FIELDS, allow_tf32=allow_tf32)
    settings = config.train_settings(seed=0)
    state = new_state(config.network_spec(), settings)
    before = torch.backends.cudnn.conv.fp32_precision
    phases.train_step(state, torch.zeros(4, 3, 16, 16), settings)
    assert torch.backends.cudnn.conv.fp32_precision == before
    assert len(seen) > 30
    assert {convolution for convolution, *_ in seen} == {convolutions}
    assert {product for _, product, _ in seen if product} == {"ieee"}


def test_a_training_that_may_round_draws_its_grids_in_whole_float32_and_says_in_its_manifest_that_it_might(tiles, tmp_path, seen):
    manifests = []
    for allow_tf32 in (False, True):
        config = GeneratorConfig(**FIELDS, allow_tf32=allow_tf32)
        run_generator(config, tiles=tiles, out=tmp_path / f"{allow_tf32}", seed=0)
        manifests.append(read_manifest(tmp_path / f"{allow_tf32}").config)
    assert {convolution for convolution, product, is_drawing in seen if product and is_drawing} == {"ieee"}
    assert {convolution for convolution, _, is_drawing in seen if not is_drawing} == {"ieee", "tf32"}
    assert manifests[1] == manifests[0] | {"allow_tf32": True}
    assert "allow_tf32" not in manifests[0]


def test_a_plan_is_measured_as_the_training_would_compute(seen):
    config = GeneratorConfig(**FIELDS, allow_tf32=True)
    trial.try_training(config.network_spec(), config.train_settings(seed=0))
    assert {convolution for convolution, *_ in seen} == {"tf32"}
