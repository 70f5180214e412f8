"""How a whole image is cut for the factored prediction, and in which order the first layer takes each resolution.

An image is strips of rows, and a strip is blocks of columns, whose cells are projected together. A block is pieces of columns, and a piece is
groups of rows: a group of a piece is what the first layer gives at one time, and stays in the cache of a core. Positions only: nothing here
touches a map.

Letters: L projected resolutions, R px of the image's edge, T px of a tile, n cells under one, G rows of cells under a group.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hdgan.features.upsample import Span, span, windows


@dataclass(frozen=True, kw_only=True)
class Pieces:
    """Sizes of the pieces, in px of the image; any are right, the best ones follow from the caches."""

    strip_rows: int
    """Rows that are worked on together, by one thread."""
    block_columns: int
    """A multiple of `piece_columns`."""
    piece_columns: int
    """A multiple of `tile_columns`."""
    group_rows: int = 16
    """Rows of one product down the image."""
    tile_columns: int = 16
    """Pixels of one product along a row: smaller means fewer multiplications, larger better use of the processor."""


def runs(size: int, step: int) -> list[tuple[int, int]]:
    """First and last + 1 of the runs of `step` px that make up `size`; the last may be shorter."""
    return [(first, min(first + step, size)) for first in range(0, size, step)]


def is_upsampled_first(channels: int, edge: int, *, size: int, width: int, pieces: Pieces) -> bool:
    """Whether `channels` maps of `edge` cells take fewer multiplications if upsampled and then projected to `width` values."""
    if edge == size:
        return True  # there is nothing to upsample
    return upsampled_first_products(channels, edge, size=size, width=width, pieces=pieces) < projected_first_products(
        channels, edge, size=size, width=width, pieces=pieces
    )


def projected_first_products(channels: int, edge: int, *, size: int, width: int, pieces: Pieces) -> float:
    """Multiplications for each pixel of the image: at the map's own resolution, along the row, down the column."""
    across = cells_under(pieces.tile_columns, edge, size=size)
    down = cells_under(pieces.group_rows, edge, size=size)
    return width * (channels * (edge / size) ** 2 + across * down / pieces.group_rows + down)


def upsampled_first_products(channels: int, edge: int, *, size: int, width: int, pieces: Pieces) -> float:
    """The same where a piece's features are upsampled down and then across, each by one matrix, before they are projected."""
    across = cells_under(pieces.piece_columns, edge, size=size)
    down = cells_under(pieces.strip_rows, edge, size=size)
    return channels * (down * across / min(pieces.piece_columns, size) + across + width)


def cells_under(num_px: int, edge: int, *, size: int) -> int:
    """Of an axis of `edge` cells, the most that lie under a run of `num_px` px."""
    return min(edge, math.ceil((min(num_px, size) - 1) * edge / size) + 2)


@dataclass(frozen=True)
class Group:
    """A group of rows of a strip: `first` to `last - 1`, counted from the strip's first.

    `counts[l]` rows of cells of resolution l are under it, from row `starts[l]` of those under the strip; `down [rows, G]` interpolates
    them all; `level [G]` says which resolution a row belongs to and `row [G]` which of the strip's rows of cells it is.
    """

    first: int
    last: int
    counts: tuple[int, ...]
    level: Tensor
    row: Tensor
    down: Tensor


@dataclass(frozen=True)
class Strip:
    """Rows `first` to `last - 1` of the image: the span of each projected resolution, and the groups."""

    first: int
    last: int
    spans: tuple[Span, ...]
    groups: tuple[Group, ...]


def strip(first: int, last: int, edges: Sequence[int], *, size: int, group_rows: int, device: torch.device) -> Strip:
    """The strip of those rows, for resolutions of `edges` cells."""
    spans = tuple(span(first, last, size=size, edge=edge) for edge in edges)
    groups = []
    for top, bottom in runs(last - first, group_rows):
        found = [span(first + top, first + bottom, size=size, edge=edge) for edge in edges]
        counts = tuple(s.num_cells for s in found)
        rows = [s.start - whole.start + torch.arange(s.num_cells) for s, whole in zip(found, spans, strict=True)]
        groups.append(
            Group(
                top,
                bottom,
                counts,
                torch.repeat_interleave(torch.arange(len(edges)), torch.tensor(counts, dtype=torch.long)).to(device),
                torch.cat([torch.zeros(0, dtype=torch.long), *rows]).to(device),
                torch.cat([torch.zeros(bottom - top, 0), *(s.matrix() for s in found)], dim=1).to(device),
            )
        )
    return Strip(first, last, spans, tuple(groups))


@dataclass(frozen=True)
class Piece:
    """Columns `first` to `last - 1` of the image, in tiles of T px, the last of which may reach beyond: the windows of each resolution.

    `index [L, tiles, n]` counts cells from the start of the block's span; `across [L, tiles, T, n]`.
    """

    first: int
    last: int
    index: Tensor
    across: Tensor

    @property
    def num_columns(self) -> int:
        """Pixels of all tiles, those beyond the piece included."""
        return self.across.shape[1] * self.across.shape[2]


@dataclass(frozen=True)
class Block:
    """Columns `first` to `last - 1` of the image: the span of each projected resolution, `widths [L]` cells each, and the pieces."""

    first: int
    last: int
    spans: tuple[Span, ...]
    widths: Tensor
    pieces: tuple[Piece, ...]


def block(first: int, last: int, edges: Sequence[int], *, size: int, pieces: Pieces, device: torch.device) -> Block:
    """The block of those columns, for resolutions of `edges` cells."""
    spans = tuple(span(first, last, size=size, edge=edge) for edge in edges)
    widths = torch.tensor([s.num_cells for s in spans], dtype=torch.long, device=device)
    found = [windows(s, tile=pieces.tile_columns) for s in spans]
    num = max((w.index.shape[1] for w in found), default=0)
    tiles, tile = math.ceil((last - first) / pieces.tile_columns), pieces.tile_columns
    index = torch.stack([torch.zeros(tiles, num, dtype=torch.long), *(w.padded(num).index for w in found)])[1:].to(device)
    across = torch.stack([torch.zeros(tiles, tile, num), *(w.padded(num).weights for w in found)])[1:].to(device)
    cut = []
    for left, right in runs(last - first, pieces.piece_columns):
        these = slice(left // tile, math.ceil(right / tile))
        cut.append(Piece(first + left, first + right, index[:, these], across[:, these]))
    return Block(first, last, spans, widths, tuple(cut))
