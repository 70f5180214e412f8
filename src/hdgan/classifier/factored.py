"""Exact prediction of whole images without image-sized feature vectors.

The first linear layer commutes with bilinear upsampling, so a map is projected at its own resolution and the projection is upsampled, or,
where that takes fewer multiplications, upsampled and then projected; standardisation and batch normalisation fold into the linear layers around
them. Same numbers as the plain way to float32 rounding (docs/concepts/factored-prediction.md).

All of it is matrix products on pieces that stay in the cache of a core (`cutting`). The threads of a processor share the strips, each working
alone on its own: the same bits for any number of threads, and none waits for another after every small product.

Letters: M members, C channels of all maps, S edge of a map, R of the image, K classes, D width of the first layer, P pixels; of a piece
L projected resolutions, G rows of cells, n cells under a tile of T px.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from hdgan.classifier.cutting import Block, Group, Piece, Pieces, Strip, block, is_upsampled_first, runs, strip
from hdgan.classifier.mlp import PixelMlp
from hdgan.features.moments import Standardiser
from hdgan.features.upsample import span, upsample_reference

_T = TypeVar("_T")
Rows = Callable[[int, int], Tensor]
"""Rows `first` to `last - 1` of maps of image size, `[C, rows, R]`, made when they are asked for; several threads may ask."""

_STRIP_ROWS = 64
_BLOCK_COLUMNS = 512
"""Pixels whose cells are projected together: enough that the cells shared with the next ones cost little."""
_GROUP_ROWS = 16
_TILE_PX = 16
"""Pixels down and across that are one product: smaller means fewer multiplications, larger better use of the processor."""
_CACHE_VALUES = 2**17
"""Values of the first layer that are held at one time: half a MB, a quarter of a core's own cache, which holds what they come from too."""
_DEVICE_VALUES = 2**24
"""The same on an accelerator, which wants few large products."""
_WIDTH_TOGETHER = 128
"""Members whose first layers are narrower than this in all are computed by one product."""


@dataclass(frozen=True)
class Folded:
    """The linear layers of all members, standardisation and batch normalisation folded in.

    Layer i has `weights[i] [M, out, in]` and `biases[i] [M, out]`; between them only ReLU is left. A linear head has one layer.
    """

    weights: tuple[Tensor, ...]
    biases: tuple[Tensor, ...]

    @property
    def num_members(self) -> int:
        """M."""
        return len(self.weights[0])

    def to(self, device: torch.device) -> Folded:
        """The same on `device`."""
        return Folded(tuple(w.to(device) for w in self.weights), tuple(b.to(device) for b in self.biases))


def fold(members: Sequence[PixelMlp], standardiser: Standardiser) -> Folded:
    """The members as linear layers with ReLU between them, evaluated in float64 and rounded once."""
    folded = [_fold_one(member, standardiser) for member in members]
    layers = zip(*folded, strict=True)
    pairs = [(torch.stack([w for w, _ in layer]).float(), torch.stack([b for _, b in layer]).float()) for layer in layers]
    return Folded(tuple(w for w, _ in pairs), tuple(b for _, b in pairs))


def _fold_one(member: PixelMlp, standardiser: Standardiser) -> list[tuple[Tensor, Tensor]]:
    (weight, bias), *later = member.affine_layers()
    std = standardiser.std.double()
    return [(weight / std, bias - weight @ (standardiser.mean.double() / std)), *later]


def logits(folded: Folded, maps: Sequence[Tensor], *, size: int, finest: Rows | None = None) -> Iterator[tuple[int, Tensor]]:
    """Strips of rows from the top: the first row, and logits `[M, K, rows, R]` of the maps `[C, S, S]` at `size` px.

    `finest` are the last channels, where they are not among the maps: each row is asked for once.
    """
    return predicted(folded, maps, size=size, then=_itself, finest=finest)


def probabilities(folded: Folded, maps: Sequence[Tensor], *, size: int) -> Iterator[tuple[int, Tensor]]:
    """As `logits`, but class probabilities."""
    return predicted(folded, maps, size=size, then=partial(F.softmax, dim=1))


def predicted(
    folded: Folded, maps: Sequence[Tensor], *, size: int, then: Callable[[Tensor], _T], finest: Rows | None = None
) -> Iterator[tuple[int, _T]]:
    """As `logits`, but what `then` makes of a strip, in the thread that computed it."""
    task = _task(folded, maps, size, finest)

    def work(rows: tuple[int, int]) -> tuple[int, _T]:
        with torch.no_grad():
            return rows[0], then(_strip_logits(task, *rows))

    on_cpu = maps[0].device.type == "cpu"
    return _shared(work, runs(size, task.pieces.strip_rows), num_threads=torch.get_num_threads() if on_cpu else 1)


def _itself(found: Tensor) -> Tensor:
    return found


def _shared(work: Callable[[tuple[int, int]], _T], items: Sequence[tuple[int, int]], *, num_threads: int) -> Iterator[_T]:
    """What `work` makes of each item, in order, by that many threads."""
    if num_threads == 1:
        yield from map(work, items)
        return
    num = min(num_threads, len(items))
    ready = threading.Barrier(num + 1)

    def start() -> None:
        torch.set_num_threads(1)
        ready.wait()

    pool = ThreadPoolExecutor(num, thread_name_prefix="strips", initializer=start)
    try:
        waiting: deque[Future[_T]] = deque(pool.submit(work, item) for item in items[:num])
        ready.wait()
        torch.set_num_threads(num_threads)  # torch's threads are set for one thread, and for those that come after it
        for item in items[num:]:
            waiting.append(pool.submit(work, item))
            yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


@dataclass(frozen=True)
class _Level:
    """All maps of one resolution, `[C, S, S]` each."""

    edge: int
    maps: tuple[Tensor, ...]

    def parts(self, top: int, bottom: int, left: int, right: int) -> list[Tensor]:
        """Rows `top` to `bottom - 1` and columns `left` to `right - 1` of each map, float32."""
        return [m[:, top:bottom, left:right].float() for m in self.maps]

    def cells(self, top: int, bottom: int, left: int, right: int) -> Tensor:
        """The same laid out as one, `[sum C, rows, columns]`."""
        return torch.cat(self.parts(top, bottom, left, right))


@dataclass(frozen=True)
class _Heads:
    """Members `first` to `last - 1`: `bias [g D]` of their first layer, and its columns that meet the maps.

    `projected[l] [C, g D]` are those of resolution l, which is projected first; `fine [C, g D]` those of all that are projected at image size.
    """

    first: int
    last: int
    bias: Tensor
    projected: tuple[Tensor, ...]
    fine: Tensor


@dataclass(frozen=True)
class _Task:
    """What all strips need."""

    folded: Folded
    size: int
    pieces: Pieces
    levels: tuple[_Level, ...]
    """Projected first."""
    fine: tuple[_Level, ...]
    """Upsampled first, or of image size already."""
    finest: Rows | None
    """The last channels, where none of the levels has them."""
    heads: tuple[_Heads, ...]
    blocks: tuple[Block, ...]
    device: torch.device


def _task(folded: Folded, maps: Sequence[Tensor], size: int, finest: Rows | None = None) -> _Task:
    num_members, width = folded.biases[0].shape
    device = maps[0].device
    together = min(num_members, max(1, _WIDTH_TOGETHER // width))
    pieces = _pieces(_CACHE_VALUES if device.type == "cpu" else _DEVICE_VALUES, width=together * width)
    lengths = [len(m) for m in maps]
    *columns_of, last_columns = torch.split(folded.weights[0], [*lengths, folded.weights[0].shape[2] - sum(lengths)], dim=2)
    assert bool(last_columns.shape[2]) == (finest is not None), "the maps have other channels than the classifier"
    found: dict[int, list[tuple[Tensor, Tensor]]] = {}
    for m, part in zip(maps, columns_of, strict=True):
        found.setdefault(m.shape[-1], []).append((m, part))
    levels = {edge: _Level(edge, tuple(m for m, _ in pairs)) for edge, pairs in found.items()}
    weights = {edge: torch.cat([part for _, part in pairs], dim=2) for edge, pairs in found.items()}

    def is_fine(edge: int) -> bool:
        return is_upsampled_first(weights[edge].shape[2], edge, size=size, width=num_members * width, pieces=pieces)

    fine = [edge for edge in levels if is_fine(edge)]
    projected = [edge for edge in levels if not is_fine(edge)]
    heads = []
    for first, last in runs(num_members, together):
        parts = {edge: weight[first:last].flatten(0, 1).t().contiguous() for edge, weight in weights.items()}
        at_last = last_columns[first:last].flatten(0, 1).t()
        at_image = torch.cat([folded.weights[0].new_zeros(0, (last - first) * width), *(parts[edge] for edge in fine), at_last])
        heads.append(_Heads(first, last, folded.biases[0][first:last].flatten(), tuple(parts[edge] for edge in projected), at_image))
    return _Task(
        folded,
        size,
        pieces,
        tuple(levels[edge] for edge in projected),
        tuple(levels[edge] for edge in fine),
        finest,
        tuple(heads),
        tuple(block(*run, projected, size=size, pieces=pieces, device=device) for run in runs(size, pieces.block_columns)),
        device,
    )


def _pieces(values: int, *, width: int) -> Pieces:
    """Pieces in which a first layer of `width` gives about that many values."""
    tiles = max(1, values // (_GROUP_ROWS * width * _TILE_PX))
    columns = tiles * _TILE_PX
    return Pieces(
        strip_rows=_STRIP_ROWS,
        block_columns=columns * max(1, _BLOCK_COLUMNS // columns),
        piece_columns=columns,
        group_rows=_GROUP_ROWS,
        tile_columns=_TILE_PX,
    )


class _Scratch:
    """Memory that one strip works in, kept from piece to piece: to get and give back megabytes each time costs more than the work in them."""

    def __init__(self, like: Tensor) -> None:
        self._like = like
        self._held: dict[str, Tensor] = {}

    def take(self, name: str, *shape: int) -> Tensor:
        """An uninitialised tensor of `shape`; what was taken by this `name` before is lost."""
        num = math.prod(shape)
        if name not in self._held or self._held[name].numel() < num:
            self._held[name] = self._like.new_empty(num)
        return self._held[name][:num].view(shape)


def _strip_logits(task: _Task, first: int, last: int) -> Tensor:
    """Logits `[M, K, rows, R]` of rows `first` to `last - 1`."""
    rows = strip(first, last, [level.edge for level in task.levels], size=task.size, group_rows=_GROUP_ROWS, device=task.device)
    found = task.folded.biases[-1].new_empty(*task.folded.biases[-1].shape, last - first, task.size)
    scratch = _Scratch(found)
    finest = None if task.finest is None else task.finest(first, last)
    for columns in task.blocks:
        cells = [
            level.cells(down.start, down.stop, across.start, across.stop).flatten(1)
            for level, down, across in zip(task.levels, rows.spans, columns.spans, strict=True)
        ]
        fine = [_fine(task, rows, piece, finest) for piece in columns.pieces]
        starts = [0, *accumulate(c.shape[1] for c in cells)]
        under = [_windows_under(rows, columns, piece, starts) for piece in columns.pieces]
        for heads in task.heads:
            projected = _project(heads, cells, starts, scratch)
            for piece, features, windows in zip(columns.pieces, fine, under, strict=True):
                place = found[heads.first : heads.last, ..., piece.first : piece.last]
                _fill(place, task.folded, heads, projected, features, rows.groups, windows, scratch)
    return found


def _fine(task: _Task, rows: Strip, piece: Piece, finest: Tensor | None) -> tuple[Tensor, ...]:
    """What is projected at image size under a piece, `[C, P]` of each group; `finest [C, rows, R]` are the last channels."""
    parts = [task.folded.biases[0].new_zeros(0, rows.last - rows.first, piece.last - piece.first)]
    for level in task.fine:
        if level.edge == task.size:
            parts += level.parts(rows.first, rows.last, piece.first, piece.last)  # laid out once, below
            continue
        down = span(rows.first, rows.last, size=task.size, edge=level.edge)
        across = span(piece.first, piece.last, size=task.size, edge=level.edge)
        cells = level.cells(down.start, down.stop, across.start, across.stop)
        parts.append(down.matrix().to(cells.device) @ cells @ across.matrix().t().to(cells.device))
    if finest is not None:
        parts.append(finest[:, :, piece.first : piece.last].float())
    features = torch.cat(parts)
    beyond = piece.num_columns - features.shape[2]
    features = (F.pad(features, (0, beyond)) if beyond else features).flatten(1)
    return torch.split(features, [(group.last - group.first) * piece.num_columns for group in rows.groups], dim=1)


def _windows_under(rows: Strip, columns: Block, piece: Piece, starts: Sequence[int]) -> list[tuple[Tensor, Tensor]]:
    """Of each group of a piece: the projected cells under each tile of each row of cells, `[G tiles n]`, their weights `[G tiles, T, n]`."""
    offsets = torch.tensor(starts, device=columns.widths.device)
    found: list[tuple[Tensor, Tensor]] = []
    across: dict[tuple[int, ...], Tensor] = {}
    for group in rows.groups:
        base = offsets[group.level] + group.row * columns.widths[group.level]
        index = piece.index[group.level] + base.view(-1, 1, 1)
        if group.counts not in across:
            across[group.counts] = piece.across[group.level].flatten(0, 1)
        found.append((index.flatten(), across[group.counts]))
    return found


def _project(heads: _Heads, cells: Sequence[Tensor], starts: Sequence[int], scratch: _Scratch) -> Tensor:
    """The cells `[C, rows columns]` of each resolution through the first layer, one after the other, `[cells, g D]`.

    The bias is in the first resolution: upsampling leaves a constant as it is.
    """
    found = scratch.take("projected", starts[-1], len(heads.bias))
    for number, (values, weight) in enumerate(zip(cells, heads.projected, strict=True)):
        place = found[starts[number] : starts[number + 1]]
        if number == 0:
            torch.addmm(heads.bias, values.t(), weight, out=place)
        else:
            torch.mm(values.t(), weight, out=place)
    return found


def _fill(
    place: Tensor,
    folded: Folded,
    heads: _Heads,
    projected: Tensor,
    fine: Sequence[Tensor],
    groups: Sequence[Group],
    windows: Sequence[tuple[Tensor, Tensor]],
    scratch: _Scratch,
) -> None:
    """Writes the logits of a piece into `place [g, K, rows, columns]`."""
    num_heads, num_classes, num_rows, num_columns = place.shape
    lengths = [features.shape[1] for features in fine]
    is_linear = len(folded.weights) == 1
    kept = scratch.take("kept", num_heads, sum(lengths), folded.biases[min(1, len(folded.biases) - 1)].shape[1])
    starts = accumulate(lengths, initial=0)
    for group, features, (index, across), start in zip(groups, fine, windows, starts, strict=False):
        x = _first_layer(heads, projected, features, group, index, across, scratch)
        x = (x if is_linear else x.relu_()).view(len(x), num_heads, -1)
        for i, member in enumerate(range(heads.first, heads.last)):
            slot = kept[i, start : start + len(x)]
            if is_linear:
                slot.copy_(x[:, i])
            else:
                torch.addmm(folded.biases[1][member], x[:, i], folded.weights[1][member].t(), out=slot)
    for i, member in enumerate(range(heads.first, heads.last)):
        place[i].copy_(_later_layers(folded, member, kept[i]).view(num_classes, num_rows, -1)[..., :num_columns])


def _first_layer(heads: _Heads, projected: Tensor, fine: Tensor, group: Group, index: Tensor, across: Tensor, scratch: _Scratch) -> Tensor:
    """What the first layer gives at the pixels of a group, `[P, g D]`."""
    x = scratch.take("x", fine.shape[1], len(heads.bias))
    if not len(projected):
        return torch.addmm(heads.bias, fine.t(), heads.fine, out=x)
    _upsample(projected, group, index, across, scratch, out=x)
    return x.addmm_(fine.t(), heads.fine) if len(fine) else x


def _upsample(projected: Tensor, group: Group, index: Tensor, across: Tensor, scratch: _Scratch, *, out: Tensor) -> None:
    """Writes the projected cells `[cells, g D]` at the pixels of a group into `out [P, g D]`, all resolutions added."""
    width = out.shape[1]
    under = torch.index_select(projected, 0, index, out=scratch.take("under", len(index), width))
    cells = torch.bmm(across, under.view(len(across), -1, width), out=scratch.take("cells", *across.shape[:2], width))
    torch.mm(group.down, cells.view(group.down.shape[1], -1), out=out.view(len(group.down), -1))


def _later_layers(folded: Folded, member: int, x: Tensor) -> Tensor:
    """Logits `[K, P]` of what the second layer of one member gave, `[P, D2]`, which is overwritten; without a third they are it."""
    if len(folded.weights) <= 2:
        return x.t()
    for weight, bias in zip(folded.weights[2:-1], folded.biases[2:-1], strict=True):
        x = torch.addmm(bias[member], x.relu_(), weight[member].t())
    return torch.addmm(folded.biases[-1][member].unsqueeze(1), folded.weights[-1][member], x.relu_().t())


def logits_reference(members: Sequence[PixelMlp], standardiser: Standardiser, maps: Sequence[Tensor], *, size: int) -> Tensor:
    """`[M, K, R, R]` the plain way: every map at image size, concatenated, pixel by pixel through the modules."""
    features = upsample_reference(maps, size).flatten(1).t()
    with torch.no_grad():
        found = torch.stack([member.eval()(standardiser(features)) for member in members])
    return found.transpose(1, 2).reshape(len(members), -1, size, size)
