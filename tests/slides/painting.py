"""Small slides painted for the tests of slides and tiles: lossless tiled TIFF with a pyramid, so that pixels can be compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile

GLASS = (241, 240, 242)


def paint(
    width: int = 640, height: int = 512, *, seed: int = 0, tissue: tuple[float, float, float, float] = (0.1, 0.1, 0.7, 0.9)
) -> np.ndarray:
    """Textured tissue in the box `tissue` (left, top, right, bottom as shares) on noisy glass: `[H, W, 3]` uint8."""
    rng = np.random.default_rng(seed)
    image = np.array(GLASS) + rng.integers(-2, 3, (height, width, 1))
    left, top, right, bottom = (round(share * edge) for share, edge in zip(tissue, (width, height, width, height), strict=True))
    texture = rng.integers(0, 90, (bottom - top, right - left, 3))
    image[top:bottom, left:right] = np.array([190, 120, 170]) - texture
    return image.astype(np.uint8)


def write_slide(
    path: Path, pixels: np.ndarray, *, mpp: float | None = 0.5, levels: int = 3, tile: int = 128, compression: str | None = "zlib"
) -> Path:
    """Writes a tiled, pyramidal TIFF, each level the mean of 2 x 2 px of the one before."""
    scale = {"resolution": (1e4 / mpp, 1e4 / mpp), "resolutionunit": "CENTIMETER"} if mpp else {}
    with tifffile.TiffWriter(path) as writer:
        level = pixels
        for index in range(levels):
            writer.write(
                level,
                tile=(tile, tile),
                photometric="rgb",
                compression=compression,
                subfiletype=1 if index else 0,
                metadata=None,
                **({} if index else scale),
            )
            level = halved(level)
    return path


def halved(pixels: np.ndarray) -> np.ndarray:
    """The mean of 2 x 2 px, rounded half up; odd edges are cut off."""
    height, width = (edge // 2 * 2 for edge in pixels.shape[:2])
    blocks = pixels[:height, :width].reshape(height // 2, 2, width // 2, 2, 3).astype(np.uint16)
    return ((blocks.sum(axis=(1, 3)) + 2) // 4).astype(np.uint8)


def damage(path: Path, *, tile_index: int) -> None:
    """Overwrites the compressed bytes of one tile of level 0."""
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0]
        offset, count = page.dataoffsets[tile_index], page.databytecounts[tile_index]
    data = bytearray(path.read_bytes())
    data[offset : offset + count] = b"\xff" * count
    path.write_bytes(bytes(data))
