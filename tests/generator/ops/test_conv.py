from __future__ import annotations

import pytest
import torch

from hdgan.generator.ops import conv

PATHS = [
    (conv.up_conv, conv.up_conv_reference),
    (conv.down_conv, conv.down_conv_reference),
    (conv.up_conv_apart, conv.up_conv_reference),
    (conv.down_conv_apart, conv.down_conv_reference),
]


@pytest.mark.parametrize(("fast", "reference"), PATHS, ids=["up folded", "down folded", "up apart", "down apart"])
def test_each_fast_path_equals_filter_and_convolution_to_second_order(fast, reference):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 5, 8, 8, dtype=torch.double, generator=generator, requires_grad=True)
    weight = torch.randn(7, 5, 3, 3, dtype=torch.double, generator=generator, requires_grad=True)
    results = []
    for path in (fast, reference):
        y = path(x, weight)
        first = torch.autograd.grad(y.tanh().sum(), (x, weight), create_graph=True)
        second = torch.autograd.grad(sum(g.square().sum() for g in first), (x, weight))
        results.append((y.detach(), *(g.detach() for g in first), *second))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)
