"""Adaptive discriminator augmentation applied to images (arXiv 2006.06676, appendix B).

Differentiable to second order, because R1 is taken at the images before augmentation. Letters: N images, C channels,
H and W px.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from hdgan.generator.augment_draws import NUM_BANDS, Draws
from hdgan.generator.augment_warp import warped

# Symlet (Daubechies 1992, table 6.3): low-pass of sym2, for the frequency bands.
_SYM2 = (-0.12940952255092145, 0.22414386804185735, 0.836516303737469, 0.48296291314469025)

# Optical density of haematoxylin, eosin and DAB in red, green and blue (Ruifrok and Johnston 2001): three directions that part
# any two stains of a section well enough to vary each by itself.
_STAINS = ((0.65, 0.70, 0.29), (0.07, 0.99, 0.11), (0.27, 0.57, 0.78))
_BLACK = 1 / 128


def apply(
    images: Tensor, draws: Draws, *, noise: torch.Generator | None = None, total: int | None = None, share: slice | Tensor = slice(None)
) -> Tensor:
    """Augmented images `[N, C, H, W]`; `noise` is drawn from when the draws hold a sigma.

    Where the images are the `share` of a pass of `total`, noise is drawn for all of those.
    """
    x = images
    if draws.geometry is not None:
        x = warped(x, draws.geometry.to(x.device))
    elif draws.blit is not None:
        x = blitted(x, draws.blit.to(x.device))
    if draws.colour is not None:
        x = _recoloured(x, draws.colour.to(x))
    if draws.stain_gain is not None and draws.stain_offset is not None:
        x = _restained(x, draws.stain_gain.to(x), draws.stain_offset.to(x))
    if draws.band_gains is not None:
        x = _band_filtered(x, draws.band_gains.to(x))
    if draws.noise_sigma is not None:
        grain = torch.randn(total or len(x), *x.shape[1:], generator=noise, device=noise.device if noise else x.device)[share].to(x)
        x = x + grain * draws.noise_sigma.to(x).view(-1, 1, 1, 1)
    if draws.hole_xy is not None:
        x = x * _outside_hole(x, draws.hole_xy.to(x))
    return x


def blitted(x: Tensor, matrix: Tensor) -> Tensor:
    """Flips, quarter turns and whole-pixel shifts of square images without resampling, reflected at the border."""
    _, _, H, W = x.shape
    columns, rows = torch.arange(W, device=x.device) - (W - 1) / 2, torch.arange(H, device=x.device) - (H - 1) / 2
    place_y, place_x = torch.meshgrid(rows, columns, indexing="ij")
    places = torch.stack((place_x, place_y, torch.ones_like(place_x)), dim=0).reshape(3, -1)
    source = matrix[:, :2] @ places  # [N, 2, H W], centred pixels
    column = _reflected((source[:, 0] + (W - 1) / 2).round().long(), W)
    row = _reflected((source[:, 1] + (H - 1) / 2).round().long(), H)
    index = (row * W + column)[:, None].expand(-1, x.shape[1], -1)
    return x.flatten(2).gather(2, index).view_as(x)


def _reflected(index: Tensor, size: int) -> Tensor:
    """Indices outside 0 .. size - 1 mirrored at the border pixels."""
    period = max(2 * (size - 1), 1)
    folded = index.remainder(period)
    return torch.minimum(folded, period - folded)


def _recoloured(x: Tensor, colour: Tensor) -> Tensor:
    """`x` through `colour [N, 3, 4]`; images of other than 3 channels without its hue and saturation.

    Those need red, green and blue. Brightness, contrast and the inversion of brightness do not: they act on the mean of the
    channels and on what is left of each (its sign kept), whatever the number. For 1 channel this is the published mean row.
    """
    N, C, H, W = x.shape
    if C == 3:
        return (colour[:, :, :3] @ x.reshape(N, 3, -1) + colour[:, :, 3:]).view(N, 3, H, W)
    row = colour.mean(dim=1)
    of_mean, offset = row[:, :3].sum(dim=1).view(N, 1, 1, 1), row[:, 3].view(N, 1, 1, 1)
    mean = x.mean(dim=1, keepdim=True)
    return (x - mean) * of_mean.abs() + mean * of_mean + offset


def _restained(x: Tensor, gain: Tensor, offset: Tensor) -> Tensor:
    """`x [N, 3, H, W]` with the amounts of three stains (Ruifrok and Johnston 2001) times `gain [N, 3]` plus `offset [N, 3]`.

    Stains act on light between black and clear glass. What a generator draws beyond that is taken off before and added again after: so it
    has a gradient of one, and no logarithm or exponential makes it larger. Nothing changes where gain is 1 and offset 0. Images of another
    number of channels stay as they are: stains are told apart in RGB.
    """
    N, C, H, W = x.shape
    if C != 3:
        return x
    to_stain = torch.linalg.inv(torch.tensor(_STAINS, dtype=torch.float64)).to(x)  # densities = amounts @ stains
    mixing = to_stain @ torch.diag_embed(gain) @ torch.tensor(_STAINS).to(x)  # [N, 3, 3]
    shift = (offset @ torch.tensor(_STAINS).to(x))[:, :, None]
    light = ((x + 1) / 2).reshape(N, 3, -1)
    possible = light.clamp(_BLACK, 1.0)
    stained = _transmission(mixing.transpose(1, 2) @ -possible.log() + shift)
    return ((stained + (light - possible)) * 2 - 1).view(N, 3, H, W)


def _transmission(density: Tensor) -> Tensor:
    """The share of light that passes. Less stain than none can come out: that is more than clear glass lets pass, bent towards 2."""
    passes = (-density.abs()).exp()
    return torch.where(density > 0, passes, 2 - passes)


def _band_filtered(x: Tensor, gains: Tensor) -> Tensor:
    """`x` with the amplitude of four frequency bands scaled by `gains [N, 4]`, reflected at the border."""
    N, C, H, W = x.shape
    kernels = gains @ torch.from_numpy(_band_bank()).to(gains)  # [N, 43]
    pad = kernels.shape[1] // 2
    x = F.pad(x, (pad, pad, pad, pad), mode="reflect").reshape(1, N * C, H + 2 * pad, W + 2 * pad)
    kernels = kernels.repeat_interleave(C, dim=0).unsqueeze(1)  # [N C, 1, 43]
    x = F.conv2d(F.conv2d(x, kernels.unsqueeze(2), groups=N * C), kernels.unsqueeze(3), groups=N * C)
    return x.view(N, C, H, W)


def _outside_hole(x: Tensor, centre_xy: Tensor) -> Tensor:
    """`[N, 1, H, W]`: 0 inside a box of half the size about the centre, 1 elsewhere (and where the centre is nan)."""
    _, _, H, W = x.shape
    column = (torch.arange(W, device=x.device) + 0.5) / W
    row = (torch.arange(H, device=x.device) + 0.5) / H
    inside_x = (column[None] - centre_xy[:, :1]).abs() < 0.25
    inside_y = (row[None] - centre_xy[:, 1:]).abs() < 0.25
    return (~(inside_y[:, None, :, None] & inside_x[:, None, None, :])).to(x.dtype)


@cache
def _band_bank() -> np.ndarray:
    """`[4, 43]` float64: kernels of four octave bands that sum to an impulse, coarse to fine.

    Each level doubles the spacing of the bands so far, smooths them with the autocorrelation of the low-pass, and adds
    the autocorrelation of the high-pass as the next finer band.
    """
    low = np.array(_SYM2)
    high = low * (-1.0) ** np.arange(len(low))
    low_pair, high_pair = np.convolve(low, low[::-1]) / 2, np.convolve(high, high[::-1]) / 2
    bands = [np.ones(1)]
    for _ in range(NUM_BANDS - 1):
        spaced = [np.insert(band, range(1, len(band)), 0.0) for band in bands]
        bands = [np.convolve(band, low_pair) for band in spaced]
        margin = (len(bands[0]) - len(high_pair)) // 2
        bands.append(np.pad(high_pair, margin))
    assert math.isclose(sum(float(band.sum()) for band in bands), 1.0, abs_tol=1e-9)
    return np.stack(bands)
