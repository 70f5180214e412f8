from __future__ import annotations

import torch
import torch.nn.functional as F

from hdgan.generator.ops.warp import warp


def test_a_warp_has_exact_gradients_of_both_orders():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 2, 5, 5, dtype=torch.double, generator=generator, requires_grad=True)
    grid = torch.rand(2, 4, 4, 2, dtype=torch.double, generator=generator) * 2.4 - 1.2
    assert torch.autograd.gradcheck(lambda v: warp(v, grid), x)
    assert torch.autograd.gradgradcheck(lambda v: warp(v, grid).tanh(), x)


def test_a_warp_equals_torchs_sampling():
    x, grid = torch.randn(1, 3, 6, 6), torch.rand(1, 6, 6, 2) * 2 - 1
    torch.testing.assert_close(warp(x, grid), F.grid_sample(x, grid, align_corners=False))
