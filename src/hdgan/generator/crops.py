"""Training images: random crops of stored tiles, turned and mirrored, because tissue has no preferred direction.

Crop number n, and the label of its tile, is a function of (seed, n) alone. A tile stored with a margin (edge >= size * sqrt 2) can be turned by any
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

_STREAM = "generator.crops"


class Tiles(Protocol):
    """Stored tiles by number: the tile archive, or an array of tiles."""

    def __len__(self) -> int:
        """How many."""

    def read(self, index: int) -> np.ndarray:
        """Tile `[S, S, C]` uint8; C is 3 in the archive."""


class ArrayTiles:
    """Tiles held in memory, `[T, S, S, C]` uint8."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __len__(self) -> int:
        """How many."""
        return len(self.array)

    def read(self, index: int) -> np.ndarray:
        """Tile `[S, S, C]`."""
        return np.asarray(self.array[index])


class Crops:
    """Crops of edge `size_px` drawn from the tiles numbered `chosen` with equal chance.

    With `is_turned` by any angle (a tile without a margin: quarter turns) and mirrored. Without it: mirrored along the axes in
    `flips` ("none", "x", "y", "both"), and turned by quarters if `is_quarter_turned`. `labels` has the label of every tile.
    """

    def __init__(
        self,
        tiles: Tiles,
        *,
        chosen: Sequence[int],
        size_px: int,
        seed: int,
        is_turned: bool = True,
        flips: str = "none",
        is_quarter_turned: bool = False,
        labels: Sequence[int] | None = None,
        num_threads: int = 1,
    ) -> None:
        if not chosen:
            raise BadConfig("tiles", "no tile is left to train on", "check the held-out fold and the white limit")
        self.tiles = tiles
        self.chosen = list(chosen)
        self.size_px = size_px
        self.seed = seed
        self.is_turned = is_turned
        self.flips = flips
        self.is_quarter_turned = is_quarter_turned
        self.labels = labels
        self._pool = ThreadPoolExecutor(num_threads) if num_threads > 1 else None

    def batch(self, first: int, num: int) -> np.ndarray:
        """Crops number `first` to `first + num - 1`, `[num, C, size, size]` uint8."""
        return self.numbered(range(first, first + num))

    def pictures(self, first: int, num: int) -> np.ndarray:
        """The crops of `batch` as pictures, `[num, size, size, C]`."""
        return np.ascontiguousarray(self.batch(first, num).transpose(0, 2, 3, 1))

    def numbered(self, numbers: Sequence[int]) -> np.ndarray:
        """The crops of these numbers, `[num, C, size, size]` uint8."""
        crops = list(self._pool.map(self.crop, numbers) if self._pool else map(self.crop, numbers))
        return np.ascontiguousarray(np.stack(crops).transpose(0, 3, 1, 2))

    def batch_labels(self, first: int, num: int) -> list[int] | None:
        """The labels of the same crops' tiles; None where tiles have none."""
        if self.labels is None:
            return None
        return [self.labels[self._tile(stream(self.seed, _STREAM, number))] for number in range(first, first + num)]

    def crop(self, number: int) -> np.ndarray:
        """Crop `[size, size, C]` uint8.

        Raises:
            BadConfig: a tile is smaller than the crop.
        """
        draw = stream(self.seed, _STREAM, number)
        tile = self.tiles.read(self._tile(draw))
        edge, size = tile.shape[0], self.size_px
        if edge < size:
            raise BadConfig("generator.resolution", f"{size} px is more than the stored tiles' {edge} px", "lower it or cut larger tiles")
        if self.is_turned and edge >= math.ceil(size * math.sqrt(2)):
            return _turned(tile, size, draw)
        x, y = (int(draw.integers(edge - size + 1)) for _ in range(2))
        crop = tile[y : y + size, x : x + size]
        if self.is_turned:
            crop = np.rot90(crop, int(draw.integers(4)))
            return crop[:, ::-1] if draw.integers(2) else crop
        if self.is_quarter_turned:
            crop = np.rot90(crop, int(draw.integers(4)))
        if self.flips in ("x", "both") and draw.integers(2):
            crop = crop[:, ::-1]
        if self.flips in ("y", "both") and draw.integers(2):
            crop = crop[::-1]
        return crop

    def _tile(self, draw: np.random.Generator) -> int:
        """The tile of a crop: the first draw of its stream."""
        return self.chosen[int(draw.integers(len(self.chosen)))]


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

    def moved(plane: np.ndarray) -> np.ndarray:
        picture = Image.fromarray(plane).transform((size, size), Image.Transform.AFFINE, affine, resample=Image.Resampling.BICUBIC)
        return np.asarray(picture)

    if tile.shape[2] == 3:
        return moved(tile)
    return np.stack([moved(plane) for plane in np.moveaxis(tile, 2, 0)], axis=2)  # Pillow takes four channels for RGB and opacity
