"""Freeze-D: the discriminator's layers next to the image keep what they learnt on other images (arXiv 2002.10964)."""

from __future__ import annotations

from torch import nn

from hdgan.errors import BadConfig
from hdgan.generator.networks import Discriminator


def layers(D: Discriminator) -> list[nn.Module]:
    """Layers from the image on, in the published count: fromRGB, then conv0, conv1 and skip of each block.

    So 10 are the blocks of the three finest resolutions and 13 those of four.
    """
    found: list[nn.Module] = []
    for resolution in reversed(D.spec.block_resolutions[1:]):
        block = D.get_submodule(f"b{resolution}")
        found += [layer for name in ("fromrgb", "conv0", "conv1", "skip") if (layer := getattr(block, name, None)) is not None]
    return found


def set_trainable(D: Discriminator, *, num_frozen: int) -> None:
    """Lets all of D learn but its first `num_frozen` layers.

    Raises:
        BadConfig: there are fewer layers outside the last block.
    """
    frozen = layers(D)
    if num_frozen > len(frozen):
        raise BadConfig("generator.freeze_d", f"{num_frozen}", f"this discriminator has {len(frozen)} layers before its last block")
    D.requires_grad_(True)
    for layer in frozen[:num_frozen]:
        layer.requires_grad_(False)
