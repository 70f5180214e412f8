from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hdgan.features import moments
from hdgan.features.upsample import axis_sums, gather, span, upsample_reference, windows

SIZES = st.sampled_from([4, 8, 16, 32])
SEEDS = st.integers(0, 1000)


def random_maps(seed: int, edges: list[int]) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(3 + i, edge, edge, generator=generator) * 5 for i, edge in enumerate(edges)]


@given(SEEDS, st.lists(SIZES, min_size=1, max_size=4))
@settings(max_examples=25)
def test_gathered_pixels_are_those_of_the_upsampled_array(seed, edges):
    maps = random_maps(seed, edges)
    reference = upsample_reference(maps, 32)
    rows, columns = torch.meshgrid(torch.arange(32), torch.arange(32), indexing="ij")
    ours = gather(maps, rows.flatten(), columns.flatten(), size=32)
    torch.testing.assert_close(ours, reference.flatten(1).t(), rtol=0, atol=1e-5)


def matrix_of(edge: int, *, size: int) -> torch.Tensor:
    """The upsampling of an axis as one matrix `[size, edge]`."""
    found = span(0, size, size=size, edge=edge)
    assert (found.start, found.stop) == (0, edge)
    return found.matrix()


@given(SEEDS, st.integers(1, 40), st.integers(40, 60))
@settings(max_examples=40)
def test_the_matrix_of_an_axis_is_the_upsampling(seed, edge, size):
    (m,) = random_maps(seed, [edge])
    matrix = matrix_of(edge, size=size)
    # torch places pixels in float32, which shows where the ratio is no power of two
    torch.testing.assert_close(matrix @ m @ matrix.t(), upsample_reference([m], size), rtol=0, atol=1e-4)


@given(st.data(), st.integers(1, 80), st.integers(1, 60), st.integers(1, 20))
@settings(max_examples=60)
def test_the_windows_of_a_run_are_its_rows_of_the_matrix_and_need_no_cell_outside_its_span(data, edge, size, tile):
    first = data.draw(st.integers(0, size - 1))
    last = data.draw(st.integers(first + 1, size))
    run = span(first, last, size=size, edge=edge)
    found = windows(run, tile=tile)
    assert found.index.min() >= 0
    assert found.index.max() < run.num_cells
    matrix = torch.zeros(len(found.index), tile, run.num_cells)
    matrix.scatter_add_(2, found.index.unsqueeze(1).expand_as(found.weights), found.weights)
    rows = matrix.flatten(0, 1)
    torch.testing.assert_close(rows[: last - first], run.matrix(), rtol=0, atol=1e-6)
    assert torch.equal(rows[last - first :], rows[last - first - 1 :][:1].expand(len(rows) - (last - first), -1))
    cells = torch.randn(run.num_cells)
    whole = torch.zeros(edge)
    whole[run.start : run.stop] = cells
    expected = upsample_reference([whole.expand(edge, edge).unsqueeze(0)], size)[0, 0, first:last]
    torch.testing.assert_close(run.matrix() @ cells, expected, rtol=0, atol=1e-4)


def test_windows_are_padded_with_cells_that_weigh_nothing():
    found = windows(span(0, 16, size=16, edge=4), tile=8)
    more = found.padded(7)
    assert more.index.shape == (2, 7)
    cells = torch.randn(4)
    ours = (more.weights @ cells[more.index].unsqueeze(2)).flatten()
    torch.testing.assert_close(ours, (found.weights @ cells[found.index].unsqueeze(2)).flatten(), rtol=0, atol=1e-6)


@given(st.integers(1, 40), st.integers(1, 60))
def test_the_sums_of_an_axis_are_those_of_its_matrix(edge, size):
    run = span(0, size, size=size, edge=edge)
    matrix = torch.zeros(size, edge, dtype=torch.float64)
    matrix[:, run.start : run.stop] = run.matrix().double()
    sums = axis_sums(edge, size=size)
    gram = matrix.t() @ matrix
    close = {"rtol": 0, "atol": 1e-5}
    torch.testing.assert_close(sums.columns, matrix.sum(dim=0), **close)
    expected = torch.diag(sums.diagonal) + torch.diag(sums.beside, 1) + torch.diag(sums.beside, -1)
    torch.testing.assert_close(gram, expected, **close)


@given(SEEDS, st.lists(SIZES, min_size=1, max_size=3))
@settings(max_examples=20)
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


def test_pieces_of_channels_and_rows_change_nothing(monkeypatch):
    images = [random_maps(i, [8, 16]) for i in range(2)]
    whole = moments.measure(images, size=32)
    monkeypatch.setattr(moments, "_CHUNK_VALUES", 100)
    parts = moments.measure(images, size=32)
    assert torch.equal(whole.mean, parts.mean)
    assert torch.equal(whole.std, parts.std)


def test_a_dead_channel_stays_at_zero():
    found = moments.measure([[torch.zeros(1, 4, 4)]], size=8)
    assert torch.equal(found(torch.zeros(5, 1)), torch.zeros(5, 1))
