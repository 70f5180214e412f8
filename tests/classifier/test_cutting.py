from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hdgan.classifier.cutting import (
    Pieces,
    block,
    cells_under,
    is_upsampled_first,
    projected_first_products,
    runs,
    strip,
    upsampled_first_products,
)
from hdgan.features.upsample import span

CPU = torch.device("cpu")
PIECES = Pieces(strip_rows=64, block_columns=256, piece_columns=64)


@given(st.integers(1, 300), st.integers(1, 100))
def test_runs_cover_an_axis_once_and_only_the_last_is_shorter(size, step):
    found = runs(size, step)
    assert [first for first, _ in found] == list(range(0, size, step))
    assert [last for _, last in found] == [*(first for first, _ in found[1:]), size]
    assert all(last - first == step for first, last in found[:-1])


@given(st.integers(1, 40), st.integers(1, 200), st.integers(1, 200))
@settings(max_examples=200)
def test_no_run_of_an_axis_has_more_cells_under_it_than_are_counted(num_px, edge, size):
    counted = cells_under(num_px, edge, size=size)
    assert all(span(first, last, size=size, edge=edge).num_cells <= counted for first, last in runs(size, min(num_px, size)))


def test_cells_under_a_tile_of_the_usual_ratios():
    assert [cells_under(16, 4096 // ratio, size=4096) for ratio in (2, 4, 8, 16)] == [10, 6, 4, 3]


def test_the_products_of_both_orders_by_hand():
    # 32 channels of 2048 cells at 4096 px, 128 values: 32 / 4 for the projection, 10 down, 10 * 10 / 16 across.
    assert projected_first_products(32, 2048, size=4096, width=128, pieces=PIECES) == 128 * (8 + 6.25 + 10)
    # A piece of 64 x 64 px has 34 x 34 cells under it.
    assert upsampled_first_products(32, 2048, size=4096, width=128, pieces=PIECES) == 32 * (34 * 34 / 64 + 34 + 128)


@pytest.mark.parametrize(
    ("channels", "edge", "width", "expected"),
    [(8, 4096, 128, True), (32, 2048, 128, False), (32, 2048, 1280, False), (16, 2048, 128, False), (16, 2048, 1280, True)],
)
def test_narrow_maps_are_upsampled_first_where_there_are_many_heads_and_maps_of_image_size_always(channels, edge, width, expected):
    assert is_upsampled_first(channels, edge, size=4096, width=width, pieces=PIECES) == expected


@given(st.lists(st.integers(1, 90), min_size=0, max_size=3), st.integers(1, 90), st.data())
@settings(max_examples=60)
def test_a_groups_matrix_times_its_rows_of_cells_is_the_sum_of_the_upsampled(edges, size, data):
    first = data.draw(st.integers(0, size - 1))
    last = data.draw(st.integers(first + 1, size))
    columns = [torch.randn(edge) for edge in edges]
    found = strip(first, last, edges, size=size, group_rows=data.draw(st.integers(1, 20)), device=CPU)
    rows = [column[s.start : s.stop] for column, s in zip(columns, found.spans, strict=True)]
    parts = []
    for group in found.groups:
        cells = torch.tensor([float(rows[level][row]) for level, row in zip(group.level.tolist(), group.row.tolist(), strict=True)])
        assert len(cells) == sum(group.counts)
        parts.append(group.down @ cells)
    whole = [span(first, last, size=size, edge=edge).matrix() @ row for edge, row in zip(edges, rows, strict=True)]
    torch.testing.assert_close(torch.cat(parts), sum(whole, torch.zeros(last - first)), rtol=0, atol=1e-5)


@given(st.lists(st.integers(1, 90), min_size=0, max_size=3), st.integers(1, 90), st.data())
@settings(max_examples=60)
def test_the_pieces_of_a_block_are_the_upsampling_of_its_columns(edges, size, data):
    first = data.draw(st.integers(0, size - 1))
    last = data.draw(st.integers(first + 1, size))
    tile = data.draw(st.integers(1, 8))
    pieces = Pieces(strip_rows=8, block_columns=4 * tile, piece_columns=2 * tile, tile_columns=tile)
    found = block(first, last, edges, size=size, pieces=pieces, device=CPU)
    assert [piece.first for piece in found.pieces] == list(range(first, last, 2 * tile))
    assert found.pieces[-1].last == last
    assert found.widths.tolist() == [s.num_cells for s in found.spans]
    for number, (edge, s) in enumerate(zip(edges, found.spans, strict=True)):
        cells = torch.randn(s.num_cells)
        ours = [(p.across[number] @ cells[p.index[number]].unsqueeze(2)).flatten()[: p.last - p.first] for p in found.pieces]
        expected = span(first, last, size=size, edge=edge).matrix() @ cells
        torch.testing.assert_close(torch.cat(ours), expected, rtol=0, atol=1e-5)
    assert all(piece.num_columns % tile == 0 and 0 <= piece.num_columns - (piece.last - piece.first) < tile for piece in found.pieces)
