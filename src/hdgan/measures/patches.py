"""How far apart two sets of images are, told by their patches: no network, no download.

Sliced Wasserstein distance (Rabin et al. 2011; of patches in arXiv 1710.10196, section 5). Letters: N images, C channels,
H and W px.
"""

from __future__ import annotations

import numpy as np

PATCH_PX = 7
_NUM_DIRECTIONS = 128


def patch_distance(a: np.ndarray, b: np.ndarray, *, num_patches: int = 20_000) -> float:
    """Mean distance of the sorted projections of 7x7 patches of `a` and `b`, `[N, C, H, W]`, in their units (grey levels).

    The same patches and directions are drawn at every call. Two samples of one source give a floor above 0: state it beside.

    Raises:
        ValueError: the images are smaller than a patch.
    """
    if min(*a.shape[2:], *b.shape[2:]) < PATCH_PX:
        raise ValueError(f"images of {a.shape[2:]} and {b.shape[2:]} px are smaller than a patch of {PATCH_PX} px")
    directions = np.random.default_rng(1).normal(size=(a.shape[1] * PATCH_PX**2, _NUM_DIRECTIONS)).astype(np.float32)
    directions /= np.linalg.norm(directions, axis=0)
    first, second = (np.sort(_patches(images, num_patches) @ directions, axis=0) for images in (a, b))
    return float(np.abs(first - second).mean())


def shrunk(images: np.ndarray, factor: int) -> np.ndarray:
    """`[N, C, H / factor, W / factor]` float32: means of squares of `factor` px, which must divide H and W."""
    N, C, H, W = images.shape
    return np.asarray(images.reshape(N, C, H // factor, factor, W // factor, factor).mean(axis=(3, 5)), dtype=np.float32)


def stain_spread(images: np.ndarray) -> float:
    """Standard deviation between images of their mean colour, mean over the channels: how many stains there are, in grey levels."""
    return float(images.mean(axis=(2, 3)).std(axis=0).mean())


def _patches(images: np.ndarray, num: int) -> np.ndarray:
    """`[num, C * 49]` float32, at random places."""
    draw = np.random.default_rng(0)
    N, _, H, W = images.shape
    places = zip(
        draw.integers(N, size=num), draw.integers(H - PATCH_PX + 1, size=num), draw.integers(W - PATCH_PX + 1, size=num), strict=True
    )
    return np.stack([images[n, :, y : y + PATCH_PX, x : x + PATCH_PX].ravel() for n, y, x in places]).astype(np.float32)
