from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hdgan.features import moments
from hdgan.features.upsample import gather, interpolation_matrix, upsample_reference, upsample_rows

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


@given(SEEDS, SIZES, st.integers(0, 31), st.integers(1, 32))
@settings(max_examples=25, deadline=None)
def test_a_band_of_rows_is_that_of_the_upsampled_map(seed, edge, first, length):
    (m,) = random_maps(seed, [edge])
    last = min(first + length, 32)
    band = upsample_rows(m, first=first, last=last, size=32)
    torch.testing.assert_close(band, upsample_reference([m], 32)[:, first:last], rtol=0, atol=1e-5)


def test_the_matrix_of_an_axis_is_the_upsampling():
    (m,) = random_maps(0, [8])
    matrix = interpolation_matrix(8, 32).float()
    torch.testing.assert_close(matrix @ m @ matrix.t(), upsample_reference([m], 32), rtol=0, atol=1e-5)


@given(SEEDS, st.lists(SIZES, min_size=1, max_size=3))
@settings(max_examples=20, deadline=None)
def test_moments_without_upsampling_are_those_of_the_upsampled_pixels(seed, edges):
    images = [random_maps(seed + i, edges) for i in range(3)]
    found = moments.measure(images, size=32)
    pixels = torch.cat([upsample_reference(maps, 32).flatten(1) for maps in images], dim=1).double()
    torch.testing.assert_close(found.mean.double(), pixels.mean(dim=1), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found.std.double(), pixels.std(dim=1, correction=0), rtol=1e-5, atol=1e-5)


def test_a_dead_channel_stays_at_zero():
    found = moments.measure([[torch.zeros(1, 4, 4)]], size=8)
    assert torch.equal(found(torch.zeros(5, 1)), torch.zeros(5, 1))
