from __future__ import annotations

import torch

from hdgan.generator.config import GeneratorConfig
from hdgan.generator.phases import train_step
from hdgan.generator.state import new_state, to_tensors

from .conftest import TINY


def trained(recompute_from_px, steps=3):
    config = GeneratorConfig(**TINY, path_weight=2.0, mixing=0.9, ada_p=0.4, recompute_from_px=recompute_from_px)
    settings = config.train_settings(seed=0)
    state = new_state(config.network_spec(), settings)
    real = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    for _ in range(steps):
        train_step(state, real, settings)
    return state


def test_recomputed_blocks_train_to_the_same_bits_through_both_penalties():
    kept, again = (to_tensors(trained(from_px))[0] for from_px in (None, 8))
    assert kept.keys() == again.keys()
    for name, tensor in kept.items():
        assert torch.equal(tensor, again[name]), name


def kept_bytes(network, call):
    held = 0

    def count(tensor):
        nonlocal held
        held += tensor.numel() * tensor.element_size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        call(network)
    return held


def test_nothing_inside_a_recomputed_block_is_kept_for_the_gradient():
    sizes = {}
    for from_px in (None, 8):
        state = trained(from_px, steps=0)
        sizes[from_px] = kept_bytes(state.D, lambda D: D(torch.zeros(4, 3, 16, 16)))
    assert sizes[8] < sizes[None] / 3
