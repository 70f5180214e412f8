from __future__ import annotations

import numpy as np
import pytest
import torch

from hdgan.generator.ops import fir

from ..conftest import statistics

TAPS = torch.tensor(fir.BINOMIAL)


@pytest.fixture
def x():
    return torch.from_numpy(np.random.RandomState(2).randn(1, 2, 8, 8)).float()


def test_resamplers_give_the_published_numbers(x):
    up = [-0.0501375, 0.6132036, -0.2344263, -1.1476817, -0.5589905]
    down = [-0.0338644, 0.2449771, -0.3749117, -0.4076009, 0.0825175]
    same = [-0.0516813, 0.2224452, -0.1250388, -0.3015969, 0.0825175]
    assert statistics(fir.upsample2(x, TAPS)) == pytest.approx(up, abs=1e-6)
    assert statistics(fir.downsample2(x, TAPS)) == pytest.approx(down, abs=1e-6)
    assert statistics(fir.filter2d(x, TAPS, padding=(2, 1))) == pytest.approx(same, abs=1e-6)


def test_the_short_binomial_upsampling_equals_the_general_one(x):
    torch.testing.assert_close(fir.upsample2_binomial(x), fir.upsample2(x, TAPS), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-6), (torch.bfloat16, 0.03), (torch.float16, 3e-3)]
)
@pytest.mark.parametrize("padding", [1, 2])
def test_the_filter_in_one_pass_equals_the_general_one_in_every_number_format(dtype, tolerance, padding):
    x = torch.randn(2, 5, 9, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    taps = TAPS.double()
    ours = fir.binomial(x.to(dtype), padding=padding, gain=4.0)
    assert ours.dtype == dtype
    torch.testing.assert_close(ours.double(), fir.filter2d(x, taps, padding=(padding, padding)) * 4, rtol=0, atol=tolerance * 4)
    even = x[:, :, :8]
    torch.testing.assert_close(fir.halve_binomial(even.to(dtype)).double(), fir.downsample2(even, taps), rtol=0, atol=tolerance)


def test_resamplers_have_exact_gradients_of_both_orders():
    x = torch.randn(1, 1, 4, 4, dtype=torch.double, requires_grad=True)
    taps = TAPS.double()

    def wide(v):
        return fir.binomial(v, padding=2)

    for resample in (
        lambda v: fir.upsample2(v, taps),
        lambda v: fir.downsample2(v, taps),
        fir.upsample2_binomial,
        fir.halve_binomial,
        wide,
    ):
        assert torch.autograd.gradcheck(resample, x)
        assert torch.autograd.gradgradcheck(resample, x)


def test_the_filter_has_a_second_derivative_on_maps_where_torch_lacks_one_in_bfloat16():
    """On a CPU the pass in bfloat16 ended the process here; the smallest map known to."""
    x = torch.full((1, 1, 3000, 3000), 2.0, dtype=torch.bfloat16, requires_grad=True)
    y = fir.binomial(x, padding=2)[:, :, :16, :16].float().square()
    (gradient,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    gradient[:, :, :8, :8].float().square().sum().backward()
    # Inside, the filter has gain 1: y = x^2, so the gradient is 2 x, and that of its square 8 x, both spread over at most the filter's reach.
    assert gradient[0, 0, 6, 6].item() == pytest.approx(4.0, rel=0.02)
    assert x.grad is not None
    assert x.grad[0, 0, 4, 4].item() == pytest.approx(16.0, rel=0.05)
    assert x.grad[0, 0, 30:].abs().max() == 0
