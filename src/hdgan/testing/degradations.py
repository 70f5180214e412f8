"""Five strengths of each of seven ways in which generated images go wrong, from hardly visible to plain: a measure of quality must rank them.

All take images `[N, H, W, 3]` uint8 and give as many, new ones; draws are fixed.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from PIL import Image
from scipy import ndimage

_BLOCK_PX = 8


def blur(images: np.ndarray, spread_px: float) -> np.ndarray:
    """Smoothed by a Gaussian of that standard deviation."""
    return _to_uint8(ndimage.gaussian_filter(images.astype(np.float32), (0, spread_px, spread_px, 0)))


def noise(images: np.ndarray, levels: float) -> np.ndarray:
    """With independent normal noise of that many grey levels."""
    return _to_uint8(images + np.random.default_rng(0).normal(0, levels, images.shape))


def jpeg(images: np.ndarray, quality: float) -> np.ndarray:
    """Through JPEG of that quality."""
    found = []
    for image in images:
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "JPEG", quality=int(quality))
        found.append(np.array(Image.open(buffer)))
    return np.stack(found)


def colour(images: np.ndarray, shift: float) -> np.ndarray:
    """More dense in red and less in blue, by that share."""
    return _to_uint8(255 * (images / 255.0) ** np.array([1 + shift, 1, 1 - shift / 2]))


def shuffle(images: np.ndarray, share: float) -> np.ndarray:
    """That share of the blocks of 8 px of each image change places."""
    draw, found = np.random.default_rng(0), images.copy()
    for image in found:
        across = image.shape[0] // _BLOCK_PX
        blocks = image.reshape(across, _BLOCK_PX, across, _BLOCK_PX, 3).swapaxes(1, 2).reshape(-1, _BLOCK_PX, _BLOCK_PX, 3)
        moved = draw.permutation(len(blocks))[: round(share * len(blocks))]
        blocks[moved] = blocks[np.roll(moved, 1)]
        image[:] = blocks.reshape(across, across, _BLOCK_PX, _BLOCK_PX, 3).swapaxes(1, 2).reshape(image.shape)
    return found


def paste(images: np.ndarray, share: float) -> np.ndarray:
    """A square of that share of each image's area comes from another image."""
    draw, found = np.random.default_rng(1), images.copy()
    edge = int(images.shape[1] * share**0.5)
    for image, other in zip(found, images[draw.permutation(len(images))], strict=True):
        y, x = draw.integers(0, image.shape[0] - edge + 1, 2)
        image[y : y + edge, x : x + edge] = other[y : y + edge, x : x + edge]
    return found


def drop(images: np.ndarray, share: float) -> np.ndarray:
    """That share of the images, the lightest, are missing, and others stand twice: modes that a generator lost."""
    kept = np.argsort(images.mean(axis=(1, 2, 3)), kind="stable")[: round(len(images) * (1 - share))]
    return np.asarray(images[np.resize(kept, len(images))])


WAYS: dict[str, tuple[Callable[[np.ndarray, float], np.ndarray], tuple[float, ...]]] = {
    "blur": (blur, (0.4, 0.7, 1.0, 1.5, 2.5)),
    "noise": (noise, (3, 6, 12, 24, 48)),
    "jpeg": (jpeg, (90, 75, 50, 25, 10)),
    "colour": (colour, (0.04, 0.08, 0.16, 0.3, 0.6)),
    "shuffle": (shuffle, (0.12, 0.25, 0.5, 0.75, 1.0)),
    "paste": (paste, (0.08, 0.15, 0.25, 0.35, 0.5)),
    "drop": (drop, (0.15, 0.3, 0.45, 0.6, 0.8)),
}
"""Name to function and strengths, mildest first."""


def _to_uint8(pixels: np.ndarray) -> np.ndarray:
    return np.clip(np.round(pixels), 0, 255).astype(np.uint8)
