"""What a generator must be able to do for the rest of the method, whoever wrote it.

Ours (`networks.py`) and the analytic one of `hdgan.testing` both fit. Letters: N images, R resolution in px.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from hdgan.generator.spec import TapSpec

__all__ = ["Conditional", "InRows", "LatentGenerator", "TapSpec", "Unfinished", "to_uint8"]


class LatentGenerator(Protocol):
    """Latents in; images, and what the network knew while drawing them, out. Inference only, float32."""

    resolution: int
    """Edge of an image, px."""
    z_dim: int
    w_dim: int
    mpp: float | None
    """Scale of the images in um/px, when the training tiles had one."""
    content_hash: str
    """Changes whenever a weight does."""

    def map(self, z: Tensor, *, psi: float) -> Tensor:
        """Latents w `[N, w_dim]` of z `[N, z_dim]`, drawn towards the mean latent by the truncation `psi` (1: not at all)."""

    def render(self, w: Tensor) -> Tensor:
        """Images `[N, 3, R, R]`, about -1 to 1: a latent always gives the same one, whatever it is drawn with."""

    def taps(self, num_blocks: int) -> tuple[TapSpec, ...]:
        """The feature maps of the last `num_blocks` blocks, coarse to fine.

        Raises:
            BadConfig: the network has fewer blocks.
        """

    def render_taps(self, w: Tensor, *, num_blocks: int) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Images as by `render` and the maps `[N, channels, resolution, resolution]` in the order of `taps`."""


class Unfinished(NamedTuple):
    """An image of which everything is drawn but the last layer, whose map is the largest: that is drawn row by row, and never held as a whole."""

    maps: tuple[Tensor, ...]
    """All tapped maps but the last, `[N, C, S, S]`."""
    rows: Callable[[int, int], tuple[Tensor, Tensor]]
    """Rows `first` to `last - 1` of the last map, `[N, C, rows, R]`, and of the image, `[N, 3, rows, R]`; any thread may ask for them."""


@runtime_checkable
class InRows(Protocol):
    """A generator whose last layer can be drawn row by row."""

    def begin(self, w: Tensor, *, num_blocks: int) -> Unfinished | None:
        """What `render_taps` gives, to be finished by rows; None where that would save nothing."""


@runtime_checkable
class Conditional(Protocol):
    """A generator that may have been trained with labels."""

    def condition_of(self, z: Tensor) -> str | None:
        """The label with which it maps the single latent z `[1, z_dim]`; None: it has none."""


def to_uint8(image: Tensor) -> np.ndarray:
    """Pixels `[N, H, W, 3]` uint8 of images `[N, 3, H, W]` in -1 to 1: x * 127.5 + 127.5, rounded, clipped.

    Raises:
        ValueError: a value is not finite (it would become a silently black pixel).
    """
    if not bool(torch.isfinite(image).all()):
        raise ValueError("the image has values that are not finite")
    levels = (image.detach().float() * 127.5 + 127.5).round().clamp(0, 255)
    return levels.to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu().numpy()
