"""The painted slide of all benchmarks of tiles: tissue with noise at several scales, which JPEG shrinks as little as it does real tissue.

Written once, as a pyramid of JPEG tiles: 102 MB at 20,000 px.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
from PIL import Image

BLOCK_PX = 2048
TILE_PX = 256
STEP = 4
"""Ratio of two levels."""
MPP = 0.25
GLASS, STROMA, NUCLEI = (241.0, 240.0, 242.0), (206.0, 152.0, 190.0), (96.0, 62.0, 132.0)


def slide_options(about: str | None) -> argparse.ArgumentParser:
    """The options by which a benchmark is told its slides; `slides_of` reads them."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True, help="folder that keeps the painted slide")
    parser.add_argument("--edge", type=int, default=20_000, help="edge of the painted slide, px; 0: only those of --slide")
    parser.add_argument("--slide", type=Path, action="append", default=[], help="another slide of JPEG tiles, taken at its finest level")
    parser.add_argument("--tile-px", type=int, default=4096)
    parser.add_argument("--out", type=Path, help="rows as JSON")
    return parser


def slides_of(options: argparse.Namespace) -> tuple[Path, ...]:
    """The painted slide, painted if it is not there, and those that were given."""
    painted = (painted_slide(options.cache, edge_px=options.edge),) if options.edge else ()
    return tuple(path.absolute() for path in (*painted, *options.slide))


def painted_slide(folder: Path, *, edge_px: int = 20_000, quality: int = 90, seed: int = 0) -> Path:
    """The slide of `edge_px` x `edge_px` px at 0.25 um/px in `folder`, painted when it is not there yet."""
    path = folder / f"painted-{edge_px}-q{quality}-{seed}.tif"
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    coarse = np.zeros((-(-edge_px // STEP), -(-edge_px // STEP), 3), np.uint8)
    half_done = path.with_suffix(".partial")
    with tifffile.TiffWriter(half_done, bigtiff=False) as writer:
        _write(writer, _painted(edge_px, coarse, seed=seed), (edge_px, edge_px), quality, is_first=True)
        while min(coarse.shape[:2]) > TILE_PX:
            _write(writer, _squares(coarse), coarse.shape[:2], quality, is_first=False)
            coarse = _averaged(coarse)
    os.replace(half_done, path)
    return path


def _painted(edge_px: int, coarse: np.ndarray, *, seed: int) -> Iterator[np.ndarray]:
    """The JPEG tiles of level 0, row by row, padded at the edges; fills `coarse`, the next level."""
    rng = np.random.default_rng(seed)
    texture, nuclei = _texture(rng)
    is_tissue = _field(rng, cells=7, edge_px=512) > -0.25
    for top in range(0, edge_px, BLOCK_PX):
        band = np.empty((min(BLOCK_PX, edge_px - top), edge_px, 3), np.uint8)
        for left in range(0, edge_px, BLOCK_PX):
            height, width = band.shape[0], min(BLOCK_PX, edge_px - left)
            shift = tuple(rng.integers(BLOCK_PX, size=2))
            look = np.roll(texture, shift, axis=(0, 1))[:height, :width]
            dark = np.roll(nuclei, shift, axis=(0, 1))[:height, :width]
            rows, columns = ((np.arange(start, start + num) * 512 // edge_px) for start, num in ((top, height), (left, width)))
            tissue = is_tissue[np.ix_(rows, columns)][..., None]
            stain = np.where(dark[..., None], np.float32(NUCLEI), np.float32(STROMA)) + look
            band[:, left : left + width] = np.clip(np.where(tissue, stain, np.float32(GLASS) + look * 0.06), 0, 255)
        small = _averaged(band)
        coarse[top // STEP : top // STEP + small.shape[0], : small.shape[1]] = small
        yield from _squares(band)


def _texture(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Brightness to be added `[B, B, 3]` float32, and where nuclei are, bool `[B, B]`."""
    fibres = sum(
        _field(rng, cells=BLOCK_PX // period, edge_px=BLOCK_PX) * share for period, share in ((256, 9), (64, 9), (16, 9), (6, 7), (3, 6))
    )
    grain = rng.normal(0, 5, (BLOCK_PX, BLOCK_PX, 3)).astype(np.float32)
    return np.asarray(fibres, np.float32)[..., None] + grain, _field(rng, cells=BLOCK_PX // 24, edge_px=BLOCK_PX) > 1.1


def _field(rng: np.random.Generator, *, cells: int, edge_px: int) -> np.ndarray:
    """Smooth noise of unit spread, `[edge, edge]` float32, with `cells` independent values along an edge."""
    values = Image.fromarray(rng.normal(0, 1, (cells, cells)).astype(np.float32))
    field = np.asarray(values.resize((edge_px, edge_px), Image.Resampling.BICUBIC))
    return field / field.std()


def _averaged(pixels: np.ndarray) -> np.ndarray:
    height, width = (edge // STEP for edge in pixels.shape[:2])
    return np.asarray(Image.fromarray(pixels).reduce(STEP))[:height, :width] if height and width else pixels[:0, :0]


def _squares(pixels: np.ndarray) -> Iterator[np.ndarray]:
    height, width = pixels.shape[:2]
    for y in range(0, height, TILE_PX):
        for x in range(0, width, TILE_PX):
            square = pixels[y : y + TILE_PX, x : x + TILE_PX]
            pad = (TILE_PX - square.shape[0], TILE_PX - square.shape[1])
            yield np.pad(square, ((0, pad[0]), (0, pad[1]), (0, 0)), mode="edge")


def _write(writer: tifffile.TiffWriter, squares: Iterator[np.ndarray], shape: tuple[int, ...], quality: int, *, is_first: bool) -> None:
    streams = (imagecodecs.jpeg8_encode(square, level=quality, subsampling="420") for square in squares)
    scale = {"resolution": (1e4 / MPP, 1e4 / MPP), "resolutionunit": "CENTIMETER"} if is_first else {"subfiletype": 1}
    layout = {"shape": (*shape[:2], 3), "dtype": "uint8", "tile": (TILE_PX, TILE_PX), "metadata": None}
    writer.write(streams, **layout, compression="jpeg", photometric="ycbcr", subsampling=(2, 2), **scale)
