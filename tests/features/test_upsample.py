from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hdgan.features import moments
from hdgan.features.upsample import axis_sums, gather, upsample_reference, windows

SIZES = st.sampled_from([4, 8, 16, 32])
SEEDS = st.integers(0, 1000)


def random_maps(seed: int, edges: list[int]) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(3 + i, edge, edge, generator=generator) * 5 for i, edge in enumerate(edges)]


@given(SEEDS, st.lists(SIZES, min_size=1, max_size=4))
@settings(max_examples=25, deadline=None)
def test_gathered_pixels_are_those_of_the_upsampled_array(seed, edges):
    maps = random_maps(seed, edges)
    reference = upsample_reference(maps, 32)
    rows, columns = torch.meshgrid(torch.arange(32), torch.arange(32), indexing="ij")
    ours = gather(maps, rows.flatten(), columns.flatten(), size=32)
    torch.testing.assert_close(ours, reference.flatten(1).t(), rtol=0, atol=1e-5)


def matrix_of(edge: int, *, size: int, tile: int) -> torch.Tensor:
    """The upsampling of an axis as one matrix `[size, edge]`, put together from its windows."""
    found = windows([edge], size=size, tile=tile)
    matrix = torch.zeros(size // tile, tile, edge)
    index = found.index.unsqueeze(1).expand_as(found.weights)
    return matrix.scatter_add_(2, index, found.weights).view(size, edge)


@given(SEEDS, st.integers(1, 40), st.integers(1, 12), st.integers(1, 5))
@settings(max_examples=40, deadline=None)
def test_the_windows_of_an_axis_are_the_upsampling(seed, edge, tile, num_tiles):
    (m,) = random_maps(seed, [edge])
    matrix = matrix_of(edge, size=tile * num_tiles, tile=tile)
    # torch places pixels in float32, which shows where the ratio is no power of two
    torch.testing.assert_close(matrix @ m @ matrix.t(), upsample_reference([m], tile * num_tiles), rtol=0, atol=1e-4)


def test_axes_laid_end_to_end_are_added():
    a, b = torch.randn(8), torch.randn(4)
    found = windows([8, 4], size=32, tile=16)
    ours = (found.weights @ torch.cat([a, b])[found.index].unsqueeze(2)).flatten()
    plain = matrix_of(8, size=32, tile=16) @ a + matrix_of(4, size=32, tile=16) @ b
    torch.testing.assert_close(ours, plain, rtol=0, atol=1e-5)


@given(st.integers(1, 40), st.integers(1, 60))
def test_the_sums_of_an_axis_are_those_of_its_matrix(edge, size):
    sums, matrix = axis_sums(edge, size=size), matrix_of(edge, size=size, tile=1).double()
    gram = matrix.t() @ matrix
    close = {"rtol": 0, "atol": 1e-5}
    torch.testing.assert_close(sums.columns, matrix.sum(dim=0), **close)
    expected = torch.diag(sums.diagonal) + torch.diag(sums.beside, 1) + torch.diag(sums.beside, -1)
    torch.testing.assert_close(gram, expected, **close)


@given(SEEDS, st.lists(SIZES, min_size=1, max_size=3))
@settings(max_examples=20, deadline=None)
def test_moments_without_upsampling_are_those_of_the_upsampled_pixels(seed, edges):
    images = [random_maps(seed + i, edges) for i in range(3)]
    found = moments.measure(images, size=32)
    pixels = torch.cat([upsample_reference(maps, 32).flatten(1) for maps in images], dim=1).double()
    torch.testing.assert_close(found.mean.double(), pixels.mean(dim=1), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found.std.double(), pixels.std(dim=1, correction=0), rtol=1e-5, atol=1e-5)


def test_a_channel_far_from_zero_keeps_its_spread():
    generator = torch.Generator().manual_seed(0)
    images = [[torch.randn(2, 8, 8, generator=generator) + 3e4] for _ in range(4)]
    pixels = torch.cat([upsample_reference([maps[0].double() - 3e4], 16).flatten(1) for maps in images], dim=1)
    torch.testing.assert_close(moments.measure(images, size=16).std, pixels.std(dim=1, correction=0).float(), rtol=1e-2, atol=0)


def test_chunks_of_channels_change_nothing(monkeypatch):
    images = [random_maps(i, [8, 16]) for i in range(2)]
    whole = moments.measure(images, size=32)
    monkeypatch.setattr(moments, "_CHUNK_VALUES", 100)
    parts = moments.measure(images, size=32)
    assert torch.equal(whole.mean, parts.mean)
    assert torch.equal(whole.std, parts.std)


def test_a_dead_channel_stays_at_zero():
    found = moments.measure([[torch.zeros(1, 4, 4)]], size=8)
    assert torch.equal(found(torch.zeros(5, 1)), torch.zeros(5, 1))
