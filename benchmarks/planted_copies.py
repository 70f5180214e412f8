"""Whether copies planted among new tissue are found, all of them, and nothing else: `HDGAN_DATA=... python benchmarks/planted_copies.py`.

Crops of training tiles, each way of hiding them on its own and all at once, lie among real crops of the same donors that are searched without the tiles that
show their place. The limit comes from other such crops, as in `hdgan quality`. Tiles: the donors' of `$HDGAN_DATA/kidney/tiles`, averaged to
2 um/px, but those that are more than half white; without HDGAN_DATA, or with `--painted`, painted ones. Crops are searched over turns of 15 degrees and
both mirrorings. Crops that are more than half white are not planted: empty glass holds nothing that could be copied, and is like any other glass.
"""

from __future__ import annotations

import argparse
import csv
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hdgan.downstream.real import is_white
from hdgan.generator.crops import ArrayTiles, Crops
from hdgan.measures.copies import CLOSEST_PERCENT, CropSearch, Nearest, copies
from hdgan.measures.intervals import binomial_interval
from hdgan.store.atomic import read_image
from hdgan.testing.degradations import blur, colour, jpeg, noise
from hdgan.testing.painter import paint

TILE_PX, SHRINK, MAX_WHITE = 512, 4, 0.5


class Tiles(NamedTuple):
    """Tiles `[N, S, S, 3]` uint8, and for each those that show some of the same place, itself among them."""

    pixels: np.ndarray
    overlapping: list[frozenset[int]]
    name: str


Hiding = Callable[[np.ndarray], np.ndarray]
PLAIN: dict[str, Hiding] = {
    "exact": lambda x: x,
    "quarter turn, mirrored": lambda x: np.rot90(x, 1, (1, 2))[:, :, ::-1],
    "restained": lambda x: colour(x, 0.3),
    "blurred, 0.7 px": lambda x: blur(x, 0.7),
    "noise, 6 levels": lambda x: noise(x, 6),
    "JPEG, quality 50": lambda x: jpeg(x, 50),
}
"""Ways of hiding a crop that lies as its tile does."""
TURNED: dict[str, Hiding] = {"any angle": lambda x: x, "any angle and all else": lambda x: jpeg(noise(blur(colour(x, 0.3), 0.5), 3), 75)}
"""Of a crop that was turned by any angle and maybe mirrored, as training crops are."""


def main() -> None:
    """Prints the limit, the false alarms, and a line for each way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--painted", action="store_true", help="painted tiles, even where HDGAN_DATA is set")
    parser.add_argument("--tiles", type=int, default=200, help="at most so many")
    parser.add_argument("--size", type=int, default=64, help="edge of a crop, px")
    parser.add_argument("--num", type=int, default=300, help="real crops for the limit, and as many among which copies are planted")
    parser.add_argument("--planted", type=int, default=25, help="copies for each way")
    options = parser.parse_args()
    data = None if options.painted else os.environ.get("HDGAN_DATA")
    tiles = painted(options.tiles, size_px=options.size * 2) if data is None else donors(Path(data) / "kidney" / "tiles", options.tiles)
    tell(tiles, size_px=options.size, num=options.num, num_planted=options.planted)


def painted(num: int, *, size_px: int) -> Tiles:
    """Each tile is a scene of its own."""
    pixels = [paint(seed, size_px=size_px, mpp=2.0, outline="full", stain=("pas", "he")[seed % 2]).image for seed in range(num)]
    return Tiles(np.stack(pixels), [frozenset({i}) for i in range(num)], "painted")


def donors(folder: Path, num: int) -> Tiles:
    """The donors' tiles at 2 um/px, in the order of their table."""
    with (folder / "tiles.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))[:num]
    edge, shrunk = TILE_PX // SHRINK, []
    for row in rows:
        light = read_image(folder / row["file"])[:TILE_PX, :TILE_PX].astype(np.float32)
        shrunk.append(light.reshape(edge, SHRINK, edge, SHRINK, 3).mean(axis=(1, 3)).round().astype(np.uint8))
    is_kept = [bool(is_white(tile).mean() <= MAX_WHITE) for tile in shrunk]
    rows, pixels = [row for row, kept in zip(rows, is_kept, strict=True) if kept], np.stack(shrunk)[is_kept]
    places = [(row["donor"], int(row["i_px"]), int(row["j_px"])) for row in rows]
    overlapping = [
        frozenset(k for k, (donor, i, j) in enumerate(places) if donor == own and max(abs(i - row), abs(j - column)) < TILE_PX)
        for own, row, column in places
    ]
    return Tiles(pixels, overlapping, f"of {len({donor for donor, _, _ in places})} donors")


def tell(tiles: Tiles, *, size_px: int, num: int, num_planted: int) -> None:
    """All the lines."""
    num_tiles, edge = tiles.pixels.shape[:2]
    search = CropSearch(tiles.pixels, size_px=size_px, step_degrees=15)
    print(f"{num_tiles} tiles of {edge} px, {tiles.name}; crops of {size_px} px", flush=True)
    draw = np.random.default_rng(0)
    real_from = draw.integers(num_tiles, size=2 * num)
    real = np.stack([cropped(tiles, tile, size_px, number, is_turned=True) for number, tile in enumerate(real_from)])
    planted, planted_from = plant(tiles, size_px=size_px, num=num_planted, draw=draw)
    left_out = [tiles.overlapping[i] for i in real_from] + [frozenset[int]()] * sum(map(len, planted.values()))
    images = np.concatenate([real, *planted.values()])
    found = search.nearest(search.prepared(images), left_out=left_out)
    limit = copies(found.distance[num : 2 * num], found.distance[:num])
    print(f"limit {limit.threshold:.3f}: {CLOSEST_PERCENT:g} % of {num} real crops are nearer to tiles that do not show their place")
    false = round(limit.share * num)
    low, high = binomial_interval(false, num)
    print(f"false alarms: {false} of {num} other real crops, {limit.share:.1%} (95 % interval {low:.1%} to {high:.1%})")
    print("| planted | found | right tile | median distance | largest |\n|---|---|---|---|---|")
    is_whole, first = True, 2 * num
    for name, hidden in planted.items():
        is_whole &= tell_way(name, found, slice(first, first + len(hidden)), planted_from[name], limit.threshold)
        first += len(hidden)
    print("every planted copy is found" if is_whole else "NOT every planted copy is found")
    print("false alarms are as many as promised, or fewer" if low <= CLOSEST_PERCENT / 100 else "there are MORE false alarms than promised")


def plant(tiles: Tiles, *, size_px: int, num: int, draw: np.random.Generator) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Hidden crops by way, and the tiles that they are from."""
    hidden, tiles_of = {}, {}
    for ways, is_turned in ((PLAIN, False), (TURNED, True)):
        for name, hide in ways.items():
            tiles_of[name] = draw.integers(len(tiles.pixels), size=num)
            first = 10_000 * (len(hidden) + 1)
            numbers = range(first, first + num)
            crops = [tissue(tiles, i, size_px, number, is_turned=is_turned) for i, number in zip(tiles_of[name], numbers, strict=True)]
            hidden[name] = hide(np.stack(crops))
    return hidden, tiles_of


def tissue(tiles: Tiles, tile: int, size_px: int, number: int, *, is_turned: bool) -> np.ndarray:
    """The first crop of one tile that is not mostly white: number `number`, or others that no other copy takes."""
    numbers = (number + k * 10**6 for k in range(1000))
    crops = (cropped(tiles, tile, size_px, other, is_turned=is_turned) for other in numbers)
    return next(crop for crop in crops if is_white(crop).mean() <= MAX_WHITE)


def cropped(tiles: Tiles, tile: int, size_px: int, number: int, *, is_turned: bool) -> np.ndarray:
    """A crop of one tile at a random place."""
    return Crops(ArrayTiles(tiles.pixels), chosen=[int(tile)], size_px=size_px, seed=0, is_turned=is_turned).crop(number)


def tell_way(name: str, found: Nearest, where: slice, tiles: Sequence[int], limit: float) -> bool:
    """One line; whether all were found."""
    distances = found.distance[where]
    num_found, num_right = int((distances < limit).sum()), int((found.tile[where] == tiles).sum())
    print(f"| {name} | {num_found} of {len(distances)} | {num_right} | {np.median(distances):.3f} | {distances.max():.3f} |", flush=True)
    return num_found == len(distances)


if __name__ == "__main__":
    main()
