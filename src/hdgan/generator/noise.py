"""Noise maps of an image's own, drawn from a seed that is part of its latent.

A published network draws every image with the same stored maps. Tissue is mostly texture, and a generator of texture
lets the noise decide where things lie (docs/decisions/004-noise-belongs-to-the-image.md): with shared maps all images
would have one layout. Letters: N images, R resolution in px.
"""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import Tensor, nn

from hdgan.generator.layers import SynthesisLayer
from hdgan.randomness import stream

_NUM_SEEDS = 2**24  # the whole numbers that float32 holds exactly


def seeds_of(z: Tensor) -> Tensor:
    """A whole number for each latent of z `[N, z_dim]`, `[N, 1]` float32 on z's device.

    From z and not from w: z is drawn bit for bit alike everywhere, w is the result of arithmetic that differs between machines.
    """
    rows = z.detach().float().cpu().numpy().astype("<f4")
    seeds = [int.from_bytes(hashlib.sha256(row.tobytes()).digest()[:8], "little") % _NUM_SEEDS for row in rows]
    return torch.tensor(seeds, dtype=torch.float32, device=z.device).unsqueeze(1)


def fresh_maps(synthesis: nn.Module, num: int, *, share: slice | Tensor = slice(None)) -> dict[str, Tensor]:
    """Standard normal maps `[len(share), 1, R, R]` for each layer that takes noise, from torch's global state.

    All `num` images' maps are drawn and those of `share` kept: what an image gets does not depend on how many processes draw.
    """
    maps = {}
    for name, layer in synthesis.named_modules():
        if isinstance(layer, SynthesisLayer) and layer.has_noise:
            drawn = torch.randn(num, 1, layer.resolution, layer.resolution, device=layer.weight.device)
            maps[name] = drawn[share]
    return maps


def own_maps(synthesis: nn.Module, seeds: Tensor) -> dict[str, Tensor]:
    """Standard normal maps `[N, 1, R, R]` for each layer of `synthesis` that takes noise; image n's depend on `seeds [N, 1]` n alone."""
    maps = {}
    for name, layer in synthesis.named_modules():
        if isinstance(layer, SynthesisLayer) and layer.has_noise:
            size = (layer.resolution, layer.resolution)
            drawn = [
                stream(int(seed), f"generator.noise.{name}").standard_normal(size, dtype=np.float32) for seed in seeds.flatten().tolist()
            ]
            maps[name] = torch.from_numpy(np.stack(drawn)).unsqueeze(1).to(seeds.device)
    return maps
