from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from hdgan.generator.layers import Conv, SynthesisLayer
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


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize(("fast", "reference"), PATHS[:2], ids=["up", "down"])
def test_a_folded_kernel_of_sixteen_bits_is_rounded_once(fast, reference, dtype):
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(16, 16, 3, 3, generator=generator)
    # Impulses: what comes out are the kernel's own numbers, with nothing added up.
    x = torch.eye(16).reshape(16, 16, 1, 1) * F.pad(torch.ones(1, 1), (3, 3, 3, 3))
    exact = reference(x.double(), weight.double())
    whole, rounded = (fast(x.to(dtype), given).double() for given in (weight, weight.to(dtype)))
    torch.testing.assert_close(whole, exact, rtol=0.501 * torch.finfo(dtype).eps, atol=1e-6)  # half a unit of the last place
    assert (whole - exact).square().mean().sqrt() < 0.8 * (rounded - exact).square().mean().sqrt()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("layer", ["up", "down"])
def test_layers_hand_over_all_bits_of_their_weights_so_that_a_gpu_folds_them_exactly(layer, dtype, monkeypatch):
    generator = torch.Generator().manual_seed(0)
    x, w = (torch.randn(*shape, generator=generator) for shape in ((4, 32, 16, 16), (4, 8)))
    x = x.to(dtype)
    torch.manual_seed(0)
    up, down = SynthesisLayer(32, 32, w_dim=8, resolution=32, is_up=True, has_noise=False), Conv(32, 32, kernel=3, is_down=True)
    seen = []

    def error(call, *, is_rounded):
        """Of a layer whose filters are folded, as on a GPU, from weights as they are given or rounded before: its distance from float64."""

        def of(fold):
            def folded(x, weight, bias=None, *, scale=None):
                seen.append(weight.dtype)
                x = x if scale is None else x * scale
                return fold(x, weight.to(x.dtype) if is_rounded else weight, *(() if bias is None else (bias,)))

            return folded

        monkeypatch.setattr(conv, "double", of(conv.up_conv))
        monkeypatch.setattr(conv, "halve", of(conv.down_conv))
        with torch.no_grad():
            exact = call(x.double())
            return float((call(x).double() - exact).square().mean().sqrt())

    call = (lambda x: up(x, w.to(next(up.parameters()).dtype))) if layer == "up" else down
    once, twice = (error(call, is_rounded=is_rounded) for is_rounded in (False, True))
    assert once < 0.97 * twice
    assert seen[-1] == torch.float32
