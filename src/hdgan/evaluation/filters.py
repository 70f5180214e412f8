"""Colour and texture of a pixel without any network: what a control classifier sees.

RGB, and at four scales Gaussian smoothing, gradient magnitude, Laplacian and both eigenvalues of the structure tensor of
the luminance: the filter bank that interactive segmentation tools offer.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

SIGMAS_PX = (1.0, 2.0, 4.0, 8.0)


def filter_maps(image: NDArray[np.uint8]) -> Tensor:
    """`[C, H, W]` float32 of an image uint8 `[H, W, 3]`: 3 colours and 7 values for each scale."""
    rgb = image.astype(np.float32) / 255
    luminance = np.asarray(rgb @ np.array([0.299, 0.587, 0.114], dtype=np.float32), dtype=np.float32)
    # Each map is put where it stays: of 4096 px all of them have 2 GB, which a list of them would hold once more.
    found = np.empty((3 + 7 * len(SIGMAS_PX), *luminance.shape), dtype=np.float32)
    found[:3] = rgb.transpose(2, 0, 1)
    for sigma, maps in zip(SIGMAS_PX, np.split(found[3:], len(SIGMAS_PX)), strict=True):
        for channel in range(3):
            ndimage.gaussian_filter(rgb[..., channel], sigma, output=maps[channel])
        ndimage.gaussian_gradient_magnitude(luminance, sigma, output=maps[3])
        ndimage.gaussian_laplace(luminance, sigma, output=maps[4])
        maps[5], maps[6] = _structure(luminance, sigma)
    return torch.from_numpy(found)


def _structure(luminance: NDArray[np.float32], sigma: float) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Larger and smaller eigenvalue of the smoothed outer product of the gradient."""
    gx = ndimage.gaussian_filter(luminance, sigma / 2, order=(0, 1))
    gy = ndimage.gaussian_filter(luminance, sigma / 2, order=(1, 0))
    xx, xy, yy = (ndimage.gaussian_filter(product, sigma) for product in (gx * gx, gx * gy, gy * gy))
    middle, spread = (xx + yy) / 2, np.sqrt(((xx - yy) / 2) ** 2 + xy**2)
    return middle + spread, middle - spread
