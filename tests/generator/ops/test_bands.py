from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from hdgan.generator.ops import bands

SHAPES = st.sampled_from([(1, 0), (3, 1), (4, 1), (4, 2)])
"""Kernel and padding."""


@given(st.integers(1, 3), st.integers(1, 4), st.integers(5, 20), SHAPES, st.booleans(), st.integers(1, 400))
@settings(max_examples=60, deadline=None)
def test_bands_are_the_convolution(num, channels, height, shape, is_depthwise, large):
    kernel, padding = shape
    x = torch.randn(num, channels, height, 9)
    groups = channels if is_depthwise else 1
    weight = torch.randn(channels if is_depthwise else 3, channels // groups, kernel, kernel)
    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(bands, "_LARGE_VALUES", large)
        ours = bands.conv2d(x, weight, padding=padding, groups=groups)
    torch.testing.assert_close(ours, F.conv2d(x, weight, padding=padding, groups=groups), rtol=0, atol=1e-5)


def test_gradients_go_through_one_convolution(monkeypatch):
    monkeypatch.setattr(bands, "_LARGE_VALUES", 10)
    x, weight = torch.randn(1, 2, 8, 8, requires_grad=True), torch.randn(3, 2, 3, 3)
    found = bands.conv2d(x, weight, padding=1)
    assert torch.equal(found, F.conv2d(x, weight, padding=1))
    found.sum().backward()
    assert x.grad is not None
