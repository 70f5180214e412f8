"""The nearest training crop of each image, and how many images are too near: whether a generator has learnt tissue or learnt its tiles by heart.

Every place of every tile is searched, over turns and both mirrorings, on optical densities that are standardised channel by channel within a
disc, so that another stain does not hide a copy. "Too near" is what only 1 % of real crops are to tiles they were not cut from.

Letters: Q images asked for, V views (turned, mirrored) of each, F edge of a crop at the scale of the comparison, S of a tile, in px there.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hdgan.measures.intervals import binomial_interval
from hdgan.progress import SILENT, Progress, track

COMPARED_PX = 32
"""Images are averaged down to this edge before they are compared."""
CLOSEST_PERCENT = 1.0
"""Percentile of the held-out distances below which an image counts as a copy."""
_CANDIDATES = 24
_QUERIES_AT_ONCE = 16
_TILES_AT_ONCE = 16
_FLAT = 0.02
"""Spread of densities below which a crop counts as flat: grain of the camera is not blown up to structure."""


@dataclass(frozen=True)
class Nearest:
    """The nearest place of each of Q images."""

    distance: np.ndarray
    """`[Q]`: root mean square difference of the standardised densities; 0 the same picture, 1.41 unrelated."""
    tile: np.ndarray
    """`[Q]`: number of the tile."""
    xy_px: np.ndarray
    """`[Q, 2]`: left and top edge of the crop in its tile, px of the tile."""


class _Place(NamedTuple):
    """Where an image may have been copied from, in px at the scale of the comparison, and which of its views lies there."""

    tile: int
    row: int
    column: int
    view: int


class CropSearch:
    """All crops of some tiles that an image of `size_px` could be a copy of."""

    def __init__(self, tiles: Iterable[np.ndarray], *, size_px: int, step_degrees: int = 90) -> None:
        """Takes in tiles `[S, S, 3]` uint8; `step_degrees` (a divisor of 90) is the distance of the turns: 90 where crops were turned by quarters.

        Raises:
            ValueError: the size is not a multiple of 16 px (of 32 px above that), a tile is smaller, or the step does not divide 90.
        """
        self.size_px = size_px
        self.edge = min(size_px, COMPARED_PX)
        self._shrink = size_px // self.edge
        if size_px % 16 or size_px % self.edge or 90 % step_degrees:
            raise ValueError(
                f"crops of {size_px} px every {step_degrees} degrees: multiples of 32 px (or 16), and a divisor of 90, are wanted"
            )
        self._step_degrees = step_degrees
        self._tiles = [_densities(tile[None], self._shrink)[0] for tile in tiles]
        if not self._tiles or min(min(tile.shape[1:]) for tile in self._tiles) < self.edge:
            raise ValueError(f"no tiles, or smaller ones than crops of {size_px} px")

    def prepared(self, images: np.ndarray) -> np.ndarray:
        """Densities `[Q, 3, F, F]` float32 of `images [Q, size, size, 3]` uint8, as `nearest` takes them: large images need not all be held.

        Raises:
            ValueError: the images are of another size.
        """
        if images.shape[1:] != (self.size_px, self.size_px, 3):
            raise ValueError(f"images {images.shape}: [Q, {self.size_px}, {self.size_px}, 3] are wanted")
        return _densities(images, self._shrink)

    def nearest(self, densities: np.ndarray, *, left_out: Sequence[frozenset[int]] | None = None, progress: Progress = SILENT) -> Nearest:
        """The nearest crop of each of the images that were `prepared [Q, 3, F, F]`; `left_out` names for each the tiles that do not count.

        All places two pixels apart (at an edge of 32) are compared at 8 px, and the best 24 of each image finely around their place and turn;
        at the best of those, half a pixel to every side as well.

        Raises:
            ValueError: an image is left without a tile.
        """
        excluded = left_out or [frozenset[int]()] * len(densities)
        candidates = self._candidates(densities, excluded, progress)
        label = "compare with the nearest"
        found = [
            self._nearest_of(*pair)
            for pair in track(zip(densities, candidates, strict=True), total=len(densities), label=label, progress=progress)
        ]
        distance, tile, x, y = (np.array(column) for column in zip(*found, strict=True))
        return Nearest(distance, tile.astype(np.int64), np.stack((x, y), axis=1).astype(np.int64) * self._shrink)

    def _views(self, densities: np.ndarray, turns: Iterable[float], mirrors: Iterable[bool]) -> np.ndarray:
        """Standardised views `[Q, V, 3, F, F]`."""
        mirrored = [densities[..., ::-1] if mirror else densities for mirror in mirrors]
        views = np.stack([turned(part, degrees) for part in mirrored for degrees in turns], axis=1)
        return standardised(views)

    @property
    def _turns(self) -> list[float]:
        return [float(degrees) for degrees in range(0, 360, self._step_degrees)]

    def _candidates(self, densities: np.ndarray, excluded: Sequence[frozenset[int]], progress: Progress) -> list[list[_Place]]:
        """For each image the best places: tile, row, column (at the scale of the comparison) and view."""
        parts = [slice(i, i + _QUERIES_AT_ONCE) for i in range(0, len(densities), _QUERIES_AT_ONCE)]
        views = [_coarse(self._views(densities[part], self._turns, (False, True))) for part in parts]
        best: list[list[tuple[float, _Place]]] = [[] for _ in densities]
        num_blocks = -(-len(self._tiles) // _TILES_AT_ONCE)
        for block in track(self._coarse_blocks(), total=num_blocks, label="search the training tiles", progress=progress):
            for part, some in zip(parts, views, strict=True):
                for q, found in enumerate(_best_places(some, block, excluded[part]), start=part.start):
                    best[q] = heapq.nlargest(_CANDIDATES, best[q] + found)
        if not all(best):
            raise ValueError("an image is left without a tile to be compared with")
        return [[place for _, place in found] for found in best]

    def _coarse_blocks(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Descriptors `[places, D]` of some tiles' crops and their places `[places, 3]` (tile, row, column)."""
        stride = max(1, self.edge // 16)
        for first in range(0, len(self._tiles), _TILES_AT_ONCE):
            descriptors, places = [], []
            for number, tile in enumerate(self._tiles[first : first + _TILES_AT_ONCE], start=first):
                crops = _crops(tile, self.edge)[::stride, ::stride]
                rows, columns = np.mgrid[0 : crops.shape[0], 0 : crops.shape[1]] * stride
                descriptors.append(_coarse(standardised(crops.reshape(-1, *crops.shape[2:]))))
                places.append(np.stack((np.full(rows.size, number), rows.ravel(), columns.ravel()), axis=1))
            yield np.concatenate(descriptors), np.concatenate(places)

    def _nearest_of(self, densities: np.ndarray, places: list[_Place]) -> tuple[float, int, int, int]:
        """Distance, tile, column, row of the best of some places, each compared finely around its place and, between turns, its angle."""
        reach = max(1, self.edge // 16)  # as far as the places compared before lie apart
        nearer = (0.0,) if self._step_degrees == 90 else (-self._step_degrees / 3, 0.0, self._step_degrees / 3)
        best, best_view = (np.inf, 0, 0, 0), (False, 0.0)
        for number, row, column, view in places:
            is_mirrored, turn = divmod(view, len(self._turns))
            views = self._views(densities[None], [self._turns[turn] + degrees for degrees in nearer], (bool(is_mirrored),))[0]
            tile = self._tiles[number]
            top, left = max(row - reach, 0), max(column - reach, 0)
            around = _crops(tile[:, top : row + reach + self.edge, left : column + reach + self.edge], self.edge)
            crops = standardised(around.reshape(-1, *around.shape[2:]))
            squared = np.square(views[:, None] - crops[None]).sum(axis=(-3, -2, -1)) / (3 * disc(self.edge).sum())
            angle, at = (int(i) for i in np.unravel_index(squared.argmin(), squared.shape))
            found = (float(np.sqrt(squared[angle, at])), number, left + at % around.shape[1], top + at // around.shape[1])
            if found < best:
                best, best_view = found, (bool(is_mirrored), self._turns[turn] + nearer[angle])
        distance, number, left, top = best
        return min(distance, self._between(densities, best_view, self._tiles[number][:, top:, left:])), number, left, top

    def _between(self, densities: np.ndarray, view: tuple[bool, float], tile: np.ndarray) -> float:
        """The distance of an image, moved by half a pixel in the best of eight directions, to the crop in the corner of `tile`.

        Places lie a pixel of the comparison apart. A copy from halfway between two would be as far from both as new tissue is, where texture is fine.
        """
        is_mirrored, degrees = view
        seen = turned((densities[..., ::-1] if is_mirrored else densities)[None], degrees)
        moved = standardised(np.concatenate([moved_by_half(seen, down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)]))
        crop = standardised(tile[:, : self.edge, : self.edge])
        return float(np.sqrt(np.square(moved - crop).sum(axis=(-3, -2, -1)).min() / (3 * disc(self.edge).sum())))


@dataclass(frozen=True)
class CopyReport:
    """How many images are nearer to a training crop than real crops are to tiles that they were not cut from."""

    threshold: float
    """1st percentile of the held-out distances."""
    share: float
    """Share of the images below it; about 0.01 for new real crops."""
    interval: tuple[float, float]
    """95 % interval of the share if other images were drawn (Clopper and Pearson 1934); the threshold is taken as it is, and wavers too."""


def copies(distances: np.ndarray, held_out: np.ndarray) -> CopyReport:
    """The report on nearest distances of generated images and of held-out real crops, `[Q]` each."""
    threshold = float(np.percentile(held_out, CLOSEST_PERCENT))
    below = int(np.count_nonzero(distances < threshold))
    return CopyReport(threshold, below / len(distances), binomial_interval(below, len(distances)))


def disc(edge: int) -> np.ndarray:
    """`[edge, edge]` float32: 1 within the inscribed circle, which is all that stays within a square at any turn."""
    line = np.arange(edge) - (edge - 1) / 2
    return np.asarray(np.hypot(line[:, None], line[None, :]) <= edge / 2, np.float32)


def standardised(densities: np.ndarray) -> np.ndarray:
    """Crops `[..., 3, F, F]` with mean 0 and spread 1 within the disc, each channel on its own, 0 outside; flat ones keep a smaller spread."""
    within = disc(densities.shape[-1])
    num = within.sum()
    centred = (densities - (densities * within).sum(axis=(-2, -1), keepdims=True) / num) * within
    spread = np.sqrt(np.square(centred).sum(axis=(-2, -1), keepdims=True) / num)
    return np.asarray(centred / np.maximum(spread, _FLAT), np.float32)


def turned(images: np.ndarray, degrees: float) -> np.ndarray:
    """Images `[N, C, F, F]` turned about their middle; quarter turns are exact, others bilinear with edges repeated outside."""
    if degrees % 90 == 0:
        return np.rot90(images, round(degrees / 90), axes=(-2, -1))
    edge = images.shape[-1]
    middle = (edge - 1) / 2
    rows, columns = np.mgrid[0:edge, 0:edge] - middle
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    y = np.clip(cos * rows + sin * columns + middle, 0, edge - 1)
    x = np.clip(cos * columns - sin * rows + middle, 0, edge - 1)
    top, left = np.minimum(y.astype(int), edge - 2), np.minimum(x.astype(int), edge - 2)
    down, right = (y - top).astype(np.float32), (x - left).astype(np.float32)
    upper = images[..., top, left] * (1 - right) + images[..., top, left + 1] * right
    lower = images[..., top + 1, left] * (1 - right) + images[..., top + 1, left + 1] * right
    return np.asarray(upper * (1 - down) + lower * down)


def moved_by_half(images: np.ndarray, down: int, right: int) -> np.ndarray:
    """Images `[N, C, F, F]` moved by half a pixel along each axis whose argument is 1 or -1 (0: not): means of neighbours, edges repeated."""
    for axis, way in ((-2, down), (-1, right)):
        if way:
            edge = images.shape[axis]
            images = (images + np.take(images, np.clip(np.arange(edge) - way, 0, edge - 1), axis)) / 2
    return images


def _best_places(
    views: np.ndarray, block: tuple[np.ndarray, np.ndarray], excluded: Sequence[frozenset[int]]
) -> list[list[tuple[float, _Place]]]:
    """For each of some images the best places of a block of tiles: score, and tile, row, column and view."""
    descriptors, places = block
    scores = (views.reshape(-1, views.shape[-1]) @ descriptors.T).reshape(*views.shape[:2], -1)
    view, score = scores.argmax(axis=1), scores.max(axis=1)
    found = []
    for q, tiles in enumerate(excluded):
        if tiles:
            score[q, np.isin(places[:, 0], list(tiles))] = -np.inf
        num = min(_CANDIDATES, score.shape[1])
        kept = [i for i in np.argpartition(-score[q], num - 1)[:num] if np.isfinite(score[q, i])]
        found.append([(float(score[q, i]), _Place._make((*places[i].tolist(), int(view[q, i])))) for i in kept])
    return found


def _densities(images: np.ndarray, shrink: int) -> np.ndarray:
    """Optical densities `[N, 3, H / shrink, W / shrink]` float32 of images uint8, whose light is averaged first; odd rests are cut off."""
    N, H, W, C = images.shape
    h, w = H // shrink, W // shrink
    light = images[:, : h * shrink, : w * shrink].astype(np.float32).reshape(N, h, shrink, w, shrink, C).mean(axis=(2, 4))
    density = np.log(263 / (light + np.float32(8))).transpose(
        0, 3, 1, 2
    )  # 8 grey levels, as in scattering.py: black is not infinitely dense
    # Smoothed (1 2 1) / 4 each way: a copy that lies half a pixel between the places compared would else look unrelated in fine texture.
    for axis in (2, 3):
        edged = np.pad(density, [(1, 1) if i == axis else (0, 0) for i in range(4)], mode="edge")
        first, last = (np.take(edged, range(k, k + density.shape[axis]), axis) for k in (0, 2))
        density = (first + 2 * density + last) / 4
    return np.asarray(density, np.float32)


def _crops(tile: np.ndarray, edge: int) -> np.ndarray:
    """Every crop of a tile `[3, S, S]`: `[rows, columns, 3, F, F]`, a view."""
    return np.lib.stride_tricks.sliding_window_view(tile, (edge, edge), axis=(1, 2)).transpose(1, 2, 0, 3, 4)


def _coarse(crops: np.ndarray) -> np.ndarray:
    """Descriptors `[..., D]` of length 1 of crops `[..., 3, F, F]`: the same, averaged down to 8 px."""
    F = crops.shape[-1]
    small = crops.reshape(*crops.shape[:-2], 8, F // 8, 8, F // 8).mean(axis=(-3, -1)).reshape(*crops.shape[:-3], -1)
    return np.asarray(small / np.maximum(np.linalg.norm(small, axis=-1, keepdims=True), 1e-6), np.float32)
