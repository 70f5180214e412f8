"""Training images: random crops of stored tiles, turned and mirrored, because tissue has no preferred direction.

Crop number n is a function of (seed, n) alone. A tile stored with a margin (edge >= size * sqrt 2) can be turned by any
angle; without one, quarter turns. Resampling is bicubic.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np
from PIL import Image

from hdgan.errors import BadConfig
from hdgan.randomness import stream


class Tiles(Protocol):
    """Stored tiles by number: the tile archive, or an array of tiles."""

    def __len__(self) -> int:
        """How many."""

    def read(self, index: int) -> np.ndarray:
        """Tile `[S, S, 3]` uint8."""


class ArrayTiles:
    """Tiles held in memory, `[T, S, S, 3]` uint8."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __len__(self) -> int:
        """How many."""
        return len(self.array)

    def read(self, index: int) -> np.ndarray:
        """Tile `[S, S, 3]`."""
        return np.asarray(self.array[index])


class Crops:
    """Crops of edge `size_px` drawn from the tiles numbered `chosen` with equal chance."""

    def __init__(
        self, tiles: Tiles, *, chosen: Sequence[int], size_px: int, seed: int, is_turned: bool = True, num_threads: int = 1
    ) -> None:
        if not chosen:
            raise BadConfig("tiles", "no tile is left to train on", "check the held-out fold and the white limit")
        self.tiles = tiles
        self.chosen = list(chosen)
        self.size_px = size_px
        self.seed = seed
        self.is_turned = is_turned
        self._pool = ThreadPoolExecutor(num_threads) if num_threads > 1 else None

    def batch(self, first: int, num: int) -> np.ndarray:
        """Crops number `first` to `first + num - 1`, `[num, 3, size, size]` uint8."""
        numbers = range(first, first + num)
        crops = list(self._pool.map(self.crop, numbers) if self._pool else map(self.crop, numbers))
        return np.ascontiguousarray(np.stack(crops).transpose(0, 3, 1, 2))

    def crop(self, number: int) -> np.ndarray:
        """Crop `[size, size, 3]` uint8.

        Raises:
            BadConfig: a tile is smaller than the crop.
        """
        draw = stream(self.seed, "generator.crops", number)
        tile = self.tiles.read(self.chosen[int(draw.integers(len(self.chosen)))])
        edge, size = tile.shape[0], self.size_px
        if edge < size:
            raise BadConfig("generator.resolution", f"{size} px is more than the stored tiles' {edge} px", "lower it or cut larger tiles")
        if self.is_turned and edge >= math.ceil(size * math.sqrt(2)):
            return _turned(tile, size, draw)
        x, y = (int(draw.integers(edge - size + 1)) for _ in range(2))
        crop = tile[y : y + size, x : x + size]
        if self.is_turned:
            crop = np.rot90(crop, int(draw.integers(4)))
            crop = crop[:, ::-1] if draw.integers(2) else crop
        return crop


def _turned(tile: np.ndarray, size: int, draw: np.random.Generator) -> np.ndarray:
    """A crop at a random place inside the tile, turned by any angle, mirrored or not."""
    edge = tile.shape[0]
    angle = draw.uniform(0, 2 * math.pi)
    reach = size / 2 * (abs(math.cos(angle)) + abs(math.sin(angle)))  # half the turned crop's bounding box
    centre_x, centre_y = draw.uniform(min(reach, edge / 2), max(edge - reach, edge / 2), size=2)
    mirror = 1.0 if draw.integers(2) else -1.0
    cos, sin = math.cos(angle), math.sin(angle)
    # Pillow maps output (x, y) to input (a x + b y + c, d x + e y + f), pixel centres at .5 on both sides.
    a, b, d, e = cos * mirror, -sin, sin * mirror, cos
    middle = size / 2
    affine = (a, b, centre_x - a * middle - b * middle, d, e, centre_y - d * middle - e * middle)
    picture = Image.fromarray(tile).transform((size, size), Image.Transform.AFFINE, affine, resample=Image.Resampling.BICUBIC)
    return np.asarray(picture)
