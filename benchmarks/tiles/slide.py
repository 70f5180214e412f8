"""A painted slide of any size with the texture of stained tissue, written as tiled BigTIFF. For benchmarks: its tissue is no anatomy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile
from scipy import ndimage

BLOCK_PX = 1024
_SEED = 7


def paint_slide(path: Path, *, edge_px: int = 20_000, tile_px: int = 256, quality: int = 90, mpp: float = 0.25) -> Path:
    """Writes a square slide of `edge_px`: tissue with a margin of glass, JPEG 4:2:0, and a coarser level at a quarter of the scale."""
    blocks = [_tissue(np.random.default_rng([_SEED, index])) for index in range(4)]
    glass = _glass(np.random.default_rng(_SEED))
    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        for index, step in enumerate((1, 4)):
            edge = edge_px // step
            writer.write(
                _tiles(blocks, glass, edge=edge, tile_px=tile_px, step=step),
                shape=(edge, edge, 3),
                dtype=np.uint8,
                tile=(tile_px, tile_px),
                photometric="ycbcr",
                subsampling=(2, 2),
                compression="jpeg",
                compressionargs={"level": quality},
                subfiletype=1 if index else 0,
                metadata=None,
                **({} if index else {"resolution": (1e4 / mpp, 1e4 / mpp), "resolutionunit": "CENTIMETER"}),
            )
    return path


def _tiles(blocks: list[np.ndarray], glass: np.ndarray, *, edge: int, tile_px: int, step: int) -> Iterator[np.ndarray]:
    """The tiles of a level row by row. Blocks lie side by side, each place with its own block, mirrored in its own way."""
    block_px = BLOCK_PX // step
    coarse = [_halved(_halved(block)) if step == 4 else block for block in (*blocks, glass)]
    num_blocks = -(-edge // block_px)
    choice = np.random.default_rng([_SEED, 99]).integers(0, len(blocks), (num_blocks, num_blocks))
    mirror = np.random.default_rng([_SEED, 98]).integers(0, 4, (num_blocks, num_blocks))
    for top in range(0, edge, tile_px):
        for left in range(0, edge, tile_px):
            row, column = top // block_px, left // block_px
            is_glass = min(row, column) < 1
            block = coarse[-1] if is_glass else coarse[choice[row, column]]
            block = block[:: 1 - 2 * (mirror[row, column] & 1), :: 1 - 2 * (mirror[row, column] >> 1)]
            y, x = top % block_px, left % block_px
            yield np.ascontiguousarray(block[y : y + tile_px, x : x + tile_px])


def _tissue(rng: np.random.Generator) -> np.ndarray:
    """Pink matrix with fibres, purple nuclei and sensor noise, `[BLOCK_PX, BLOCK_PX, 3]` uint8."""

    def field(sigma: float) -> np.ndarray:
        noise = ndimage.gaussian_filter(rng.standard_normal((BLOCK_PX, BLOCK_PX)).astype(np.float32), sigma, mode="wrap")
        return noise / noise.std()

    eosin = 0.45 + 0.12 * field(24) + 0.09 * field(5) + 0.06 * field(1.5)
    nuclei = 1 / (1 + np.exp(-6 * (field(7) - 1.3)))
    haematoxylin = 0.12 + nuclei * (0.9 + 0.15 * field(2)) + 0.04 * field(1.2)
    density = eosin[..., None] * np.array([0.12, 0.75, 0.35]) + haematoxylin[..., None] * np.array([0.75, 0.70, 0.35])
    light = 242 * np.exp(-np.clip(density, 0, None)) + rng.normal(0, 2.2, density.shape)
    return np.clip(light, 0, 255).astype(np.uint8)


def _glass(rng: np.random.Generator) -> np.ndarray:
    return np.clip(242 + rng.normal(0, 1.2, (BLOCK_PX, BLOCK_PX, 3)), 0, 255).astype(np.uint8)


def _halved(block: np.ndarray) -> np.ndarray:
    half = block.shape[0] // 2
    return block.reshape(half, 2, half, 2, 3).mean(axis=(1, 3)).astype(np.uint8)
