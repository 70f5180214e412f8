from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from hdgan.generator.ops import bands, conv, fir

SHAPES = st.sampled_from([(1, 0), (3, 1), (4, 1), (4, 2)])
"""Kernel and padding."""


@given(st.integers(1, 3), st.integers(1, 4), st.integers(5, 20), SHAPES, st.booleans(), st.integers(1, 400))
@settings(max_examples=60)
def test_bands_are_the_convolution(num, channels, height, shape, is_depthwise, large):
    kernel, padding = shape
    x = torch.randn(num, channels, height, 9)
    groups = channels if is_depthwise else 1
    weight = torch.randn(channels if is_depthwise else 3, channels // groups, kernel, kernel)
    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(bands, "_LARGE_VALUES", large)
        patch.setattr(bands, "_BAND_VALUES", large)
        ours = bands.conv2d(x, weight, padding=padding, groups=groups)
    torch.testing.assert_close(ours, F.conv2d(x, weight, padding=padding, groups=groups), rtol=0, atol=1e-5)


def test_bands_of_any_height_give_the_same_bits(monkeypatch):
    x, weight, scale = torch.randn(1, 64, 256, 260), torch.randn(64, 64, 3, 3), torch.rand(1, 64, 1, 1)
    assert bands.is_large(x, num_out=64) is False  # a gradient is wanted
    found = []
    for values in (2**22, 2**20, 2**18):
        monkeypatch.setattr(bands, "_BAND_VALUES", values)
        with torch.no_grad():
            assert bands.is_large(x, num_out=64)
            found.append((bands.conv2d(x, weight, padding=1, scale=scale), conv.double(x[:, :, :99], weight, scale=scale)))
    for once in found[1:]:
        assert all(torch.equal(*pair) for pair in zip(once, found[0], strict=True))


def test_gradients_go_through_one_convolution(monkeypatch):
    monkeypatch.setattr(bands, "_LARGE_VALUES", 10)
    x, weight = torch.randn(1, 2, 8, 8, requires_grad=True), torch.randn(3, 2, 3, 3)
    found = bands.conv2d(x, weight, padding=1)
    assert torch.equal(found, F.conv2d(x, weight, padding=1))
    found.sum().backward()
    assert x.grad is not None


@given(st.integers(1, 2), st.integers(1, 4), st.integers(1, 4), st.integers(1, 12), st.integers(1, 300))
@settings(max_examples=60)
def test_a_scaled_way_up_in_bands_is_that_of_the_whole(num, num_in, num_out, height, large):
    x, weight, scale = torch.randn(num, num_in, height, 7), torch.randn(num_out, num_in, 3, 3), torch.rand(num, num_in, 1, 1)
    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(bands, "_LARGE_VALUES", large)
        patch.setattr(bands, "_BAND_VALUES", large)
        ours = conv.double(x, weight, scale=scale)
    torch.testing.assert_close(ours, conv.up_conv_reference(x * scale, weight), rtol=0, atol=2e-5)


@given(st.integers(1, 2), st.integers(1, 12), st.integers(1, 300))
@settings(max_examples=40)
def test_an_image_is_doubled_and_added_in_bands(num, height, large):
    half, share = torch.randn(num, 3, height, 5), torch.randn(num, 3, 2 * height, 10)
    expected = fir.upsample2_binomial(half) + share
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bands, "_LARGE_VALUES", large)
        patch.setattr(bands, "_BAND_VALUES", large)
        assert torch.equal(fir.add_upsampled(share, half), expected)


@given(st.integers(1, 12), st.integers(0, 23), st.integers(1, 24), st.integers(1, 300))
@settings(max_examples=40)
def test_any_rows_of_a_doubled_image_are_added_alone(height, first, num, large):
    first, last = min(first, 2 * height - 1), min(first + num, 2 * height)
    half, share = torch.randn(2, 3, height, 5), torch.randn(2, 3, 2 * height, 10)
    expected = (fir.upsample2_binomial(half) + share)[:, :, first:last]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bands, "_BAND_VALUES", large)
        assert torch.equal(fir.add_upsampled(share[:, :, first:last].clone(), half, first=first), expected)


def test_a_scale_is_that_of_the_map(monkeypatch):
    monkeypatch.setattr(bands, "_LARGE_VALUES", 10)
    monkeypatch.setattr(bands, "_BAND_VALUES", 10)
    x, weight, scale = torch.randn(2, 3, 8, 8), torch.randn(4, 3, 1, 1), torch.rand(2, 3, 1, 1)
    expected = F.conv2d(x * scale, weight)
    torch.testing.assert_close(bands.conv2d(x, weight, padding=0, scale=scale), expected, rtol=0, atol=1e-5)
    with torch.no_grad():
        torch.testing.assert_close(bands.conv2d(x, weight, padding=0, scale=scale), expected, rtol=0, atol=1e-5)
