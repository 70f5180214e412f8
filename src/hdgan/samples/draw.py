"""Seeds become images and latents, one at a time.

Sample i has the z of the stream "samples.z" at counter i, so any sample can be drawn without the others. Batch 1, float32, constant
noise: each of the three, done otherwise, changes pixels, and an annotated image must be the one that its latent gives.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from hdgan.errors import BadInput
from hdgan.generator.protocol import Conditional, LatentGenerator, to_uint8
from hdgan.randomness import stream
from hdgan.store.bank import SampleRow, sample_name
from hdgan.store.hashing import hash_array


class Drawn(NamedTuple):
    """One sample: its row, pixels uint8 `[H, W, 3]`, z float32 `[z_dim]`, w float32 `[w_dim]` after truncation."""

    row: SampleRow
    image: NDArray[np.uint8]
    z: NDArray[np.float32]
    w: NDArray[np.float32]


def draw_samples(generator: LatentGenerator, *, num: int, psi: float, seed: int, start: int = 0) -> Iterator[Drawn]:
    """The samples `start` to `num` - 1 of `seed`.

    Raises:
        BadInput: the generator gives a latent or a pixel that is not finite.
    """
    for index in range(start, num):
        yield draw_one(generator, index, psi=psi, seed=seed)


def draw_one(generator: LatentGenerator, index: int, *, psi: float, seed: int) -> Drawn:
    """Sample number `index` of `seed`.

    Raises:
        BadInput: the generator gives a latent or a pixel that is not finite.
    """
    z = stream(seed, "samples.z", index).standard_normal(generator.z_dim, dtype=np.float32)
    with torch.no_grad():
        w = generator.map(torch.from_numpy(z)[None], psi=psi)[0].float().cpu().numpy()
    if not np.isfinite(w).all():
        raise BadInput(f"sample {index}", "its latent is not finite", "the generator's weights are broken: use an earlier snapshot")
    image = render_pixels(generator, w, what=f"sample {index}")
    row = SampleRow(
        index=index,
        name=sample_name(index),
        seed=seed,
        image_hash=hash_array(image),
        latent_hash=hash_array(w),
        generator_hash=generator.content_hash,
        psi=psi,
        condition=generator.condition_of(torch.from_numpy(z)[None]) if isinstance(generator, Conditional) else None,
    )
    return Drawn(row, image, z, w)


def render_pixels(generator: LatentGenerator, w: NDArray[np.float32], *, what: str) -> NDArray[np.uint8]:
    """The image uint8 `[H, W, 3]` of one latent `w` `[w_dim]`.

    Raises:
        BadInput: a pixel is not finite (as uint8 it would be black, or anything); `what` names the sample.
    """
    with torch.no_grad():
        image = generator.render(torch.from_numpy(np.ascontiguousarray(w, dtype=np.float32))[None])
    if not bool(torch.isfinite(image).all()):
        raise BadInput(what, "its image has pixels that are not finite", "the generator's weights are broken: use an earlier snapshot")
    pixels: NDArray[np.uint8] = to_uint8(image)[0]
    return pixels
