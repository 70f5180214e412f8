"""CPU-seconds to read a 4096 px region into an RGB array: OpenSlide, our reader, and the mere decoding of the tiles it touches.

`python benchmarks/tiles/reading.py [SLIDE ...] [--edge 20000] [--cache CACHE] [--repeats 5] [--out FILE]` paints a JPEG slide, reads the same unaligned
regions in all three ways by turns, compares every pixel, and prints the least time of each and their ratios. The cost of
opening with and without the probe stands below it.

Raw decoding reads each touched tile's bytes and decodes them: into an array of its own, as the codec gives it, or all into one
buffer, which is faster than an assembled region can be. Nothing is assembled or kept, so that all of it happens in the processor's cache: 50 MB are never
written to memory. "raw, kept" keeps the arrays until the region is done, as whoever wants its pixels must.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import openslide

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from painted_slide import painted_slide

from hdgan.slides.codecs import JPEG
from hdgan.slides.direct import DirectSlide
from hdgan.slides.reader import open_slide

REGION_PX = 4096
Way = Callable[[tuple[int, int]], object]
WAYS = ("openslide", "ours", "raw", "raw, kept", "raw, one buffer")


def main() -> None:
    """Prints a row for the painted slide and for each given one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("slides", nargs="*", type=Path)
    parser.add_argument("--edge", type=int, default=20_000, help="edge of the painted slide, px")
    parser.add_argument(
        "--cache", type=Path, help="folder that keeps the painted slide, that of the other benchmarks; none: it is thrown away"
    )
    parser.add_argument("--region", type=int, default=REGION_PX, help="edge of a region, px")
    parser.add_argument("--regions", type=int, default=4, help="half of the regions of each walk")
    parser.add_argument("--repeats", type=int, default=4)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        painted = painted_slide(options.cache or Path(folder), edge_px=options.edge) if options.edge else None
        slides = [*([painted] if painted else []), *options.slides]
        rows = [measure(path, edge=options.region, num_regions=options.regions, repeats=options.repeats) for path in slides]
    if options.out:
        options.out.write_text(json.dumps(rows, indent=1))


def measure(path: Path, *, edge: int, num_regions: int, repeats: int) -> dict[str, Any]:
    """The row of one slide, printed as well."""
    slide = open_slide(path)
    row: dict[str, Any] = {"slide": path.name, "mb": path.stat().st_size / 1e6, "reader": slide.reader, "reason": slide.reason}
    size = (min(edge, slide.size_px[0] - 1), min(edge, slide.size_px[1] - 1))
    reference = openslide.OpenSlide(str(path))
    ways: dict[str, Way] = {
        "openslide": lambda xy: np.asarray(reference.read_region(xy, 0, size).convert("RGB")),
        "ours": lambda xy: slide.read(xy, level0_size=size, out_px=size),
    }
    if isinstance(slide, DirectSlide):
        ways["raw"] = raw_decoder(slide, size, is_reused=False)
        ways["raw, kept"] = raw_decoder(slide, size, is_reused=False, is_kept=True)
        if slide.tiles[0].codec.compression == JPEG:
            ways["raw, one buffer"] = raw_decoder(slide, size, is_reused=True)
    walks = {
        "scattered": scattered(slide.size_px, size, 2 * num_regions),
        "side by side": side_by_side(slide.size_px, size, 2 * num_regions),
    }
    row["identical"] = all(np.array_equal(ways["openslide"](xy), ways["ours"](xy)) for walk in walks.values() for xy in walk)
    row["walks"] = {name: least_seconds(ways, walk, repeats) for name, walk in walks.items()}
    row |= opening_costs(path)
    report(row, size)
    return row


def scattered(size_px: tuple[int, int], size: tuple[int, int], num: int) -> list[tuple[int, int]]:
    """Upper left corners anywhere in the slide."""
    rng = np.random.default_rng(0)
    return [(int(rng.integers(0, size_px[0] - size[0] + 1)), int(rng.integers(0, size_px[1] - size[1] + 1))) for _ in range(num)]


def side_by_side(size_px: tuple[int, int], size: tuple[int, int], num: int) -> list[tuple[int, int]]:
    """The first corners of a grid that begins 1 px off the slide's own, row by row, as a slide is cut."""
    xs, ys = (range(1, length - edge + 1, edge) for length, edge in zip(size_px, size, strict=True))
    return [(x, y) for y in ys for x in xs][:num]


def report(row: dict[str, Any], size: tuple[int, int]) -> None:
    """Prints a row."""
    print(f"{row['slide']} ({row['mb']:.1f} MB, {size[0]} x {size[1]} px regions): {row['reader']} ({row['reason']})")
    for walk, times in row["walks"].items():
        ratios = [f"openslide / ours {times['openslide'] / times['ours']:.2f}"]
        ratios += [f"ours / {name} {times['ours'] / times[name]:.3f}" for name in WAYS[2:] if name in times]
        print(f"  regions {walk}, CPU-s each: " + ", ".join(f"{name} {times[name]:.4f}" for name in times) + f"; {', '.join(ratios)}")
    print(f"  pixels identical: {row['identical']}")
    print(f"  opening: {row['open_ms']:.1f} ms by OpenSlide, {row['open_probed_ms']:.1f} ms with the probe")


def raw_decoder(slide: DirectSlide, size: tuple[int, int], *, is_reused: bool, is_kept: bool = False) -> Way:
    """A function that reads and decodes the level-0 tiles that a region touches, into one buffer or into arrays of their own; with `is_kept` it returns
    them all, else it keeps nothing.
    """
    tiles = slide.tiles[0]
    descriptor = os.open(slide.path, os.O_RDONLY)
    colours = {2: "RGB", 6: "YCBCR"}[tiles.codec.photometric]

    def decode(xy: tuple[int, int]) -> list[np.ndarray]:
        kept: list[np.ndarray] = []
        buffer = _buffer(tiles.tile_shape)
        columns, rows = (
            range(start // edge, (start + length - 1) // edge + 1) for start, length, edge in zip(xy, size, tiles.tile_px, strict=True)
        )
        for row in rows:
            for column in columns:
                index = row * tiles.num_across + column
                data = os.pread(descriptor, int(tiles.counts[index]), int(tiles.offsets[index]))
                if tiles.codec.compression == 7:
                    pixels = imagecodecs.jpeg8_decode(
                        data, tables=tiles.codec.tables, colorspace=colours, outcolorspace="RGB", out=buffer if is_reused else None
                    )
                else:
                    pixels = imagecodecs.jpeg2k_decode(data, numthreads=1)
                if is_kept:
                    kept.append(pixels)
        return kept

    return decode


def _buffer(shape: tuple[int, ...]) -> np.ndarray:
    """Where decoding is fastest: see `hdgan.slides.direct._tile_buffer`."""
    room = np.empty(int(np.prod(shape)) + 32, np.uint8)
    start = (16 - room.ctypes.data) % 32
    return room[start : start + int(np.prod(shape))].reshape(shape)


def least_seconds(ways: dict[str, Way], places: Sequence[tuple[int, int]], repeats: int) -> dict[str, float]:
    """CPU-seconds per region of each way, by turns: the least of `repeats` passes over all places.

    Readers keep their caches from pass to pass; eight regions or more touch more tiles than they hold, so that a pass begins without.
    """
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(repeats):
        for name, way in ways.items():
            begun = time.process_time()
            for xy in places:
                way(xy)
            best[name] = min(best[name], (time.process_time() - begun) / len(places))
    return best


def opening_costs(path: Path) -> dict[str, float]:
    """Milliseconds of CPU to open the slide by OpenSlide alone and with the probe, the least of three."""
    costs: dict[str, float] = {}
    for name, choice in (("open_ms", "openslide"), ("open_probed_ms", "auto")):
        times = []
        for _ in range(3):
            begun = time.process_time()
            open_slide(path, reader=choice).close()
            times.append((time.process_time() - begun) * 1000)
        costs[name] = min(times)
    return costs


if __name__ == "__main__":
    main()
