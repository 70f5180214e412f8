"""The image itself as one more tapped map.

Feature maps say what a place is; its colour stands in none of them plainly, because toRGB weighs them by each image's
style. Three channels more, and whitespace is found that the maps alone miss (dev/LOG.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import zip_longest
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hdgan.errors import BadConfig, BadInput
from hdgan.generator.protocol import InRows, LatentGenerator, TapSpec, Unfinished

IMAGE = "image"
"""Name of the tap."""
_SAME_LAYERS = "name the same layers, or extract features and fit again"


class WithImage:
    """`generator`, with its image as the last tapped map, finest of all."""

    def __init__(self, generator: LatentGenerator) -> None:
        self.generator = generator
        self.resolution = generator.resolution
        self.z_dim = generator.z_dim
        self.w_dim = generator.w_dim
        self.mpp = generator.mpp
        self.content_hash = generator.content_hash

    def map(self, z: Tensor, *, psi: float) -> Tensor:
        """Latents, as of the generator."""
        return self.generator.map(z, psi=psi)

    def render(self, w: Tensor) -> Tensor:
        """Images, as of the generator."""
        return self.generator.render(w)

    def taps(self, num_blocks: int) -> tuple[TapSpec, ...]:
        """The generator's, and the image's."""
        return (*self.generator.taps(num_blocks), TapSpec(IMAGE, 3, self.resolution))

    def render_taps(self, w: Tensor, *, num_blocks: int) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Images and maps; the last map is the image as it can be shown, -1 to 1."""
        image, maps = self.generator.render_taps(w, num_blocks=num_blocks)
        return image, (*maps, image.clamp(-1, 1))

    def begin(self, w: Tensor, *, num_blocks: int) -> Unfinished | None:
        """As of the generator; the last map has three channels more, those of the image."""
        found = self.generator.begin(w, num_blocks=num_blocks) if isinstance(self.generator, InRows) else None
        if found is None:
            return None
        draw = found.rows

        def rows(first: int, last: int) -> tuple[Tensor, Tensor]:
            finest, image = draw(first, last)
            return torch.cat((finest, image.clamp(-1, 1)), dim=1), image

        return Unfinished(found.maps, rows)


def tapping(generator: LatentGenerator, taps: Iterable[TapSpec]) -> LatentGenerator:
    """`generator` such that it gives `taps`: with its image if that is among them."""
    return WithImage(generator) if has_image(taps) else generator


def tapping_only(generator: LatentGenerator, taps: Sequence[TapSpec], *, num_blocks: int, where: str | Path) -> LatentGenerator:
    """`tapping`, of a generator whose last `num_blocks` blocks give `taps` and nothing else, in their order.

    The weights of a foreign network do not tell which of its layers are tapped, so that the same network can give other features.

    Raises:
        BadInput: it gives other maps; `where` is what was made from `taps`.
    """
    found = tapping(generator, taps)
    try:
        given = found.taps(num_blocks)
    except BadConfig as error:
        raise BadInput(where, f"was made from other layers of the generator ({error.what}; {error.remedy})", _SAME_LAYERS) from error
    for needed, other in zip_longest(taps, given):
        if needed != other:
            raise BadInput(where, f"was made from other layers of the generator ({_told(needed)}, now {_told(other)})", _SAME_LAYERS)
    return found


def _told(tap: TapSpec | None) -> str:
    return "no more" if tap is None else f"{tap.name} of {tap.channels} channels at {tap.resolution} px"


def has_image(taps: Iterable[TapSpec]) -> bool:
    """Whether the image is one of the maps."""
    return any(tap.name == IMAGE for tap in taps)


def image_map(image: np.ndarray) -> Tensor:
    """Map `[3, H, W]`, -1 to 1, of a stored image uint8 `[H, W, 3]`."""
    return torch.from_numpy(image).permute(2, 0, 1).float() / 127.5 - 1
