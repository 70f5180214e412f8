"""A small StyleGAN2 of ours with random weights, for tests of everything that takes a generator."""

from __future__ import annotations

from pathlib import Path

import torch

from hdgan.generator.networks import Generator, SynthesisBlock
from hdgan.generator.spec import NetworkSpec
from hdgan.generator.weights import FILE, TrainedGenerator, load_generator, save_generator
from hdgan.training import seeds


def tiny_network(*, seed: int = 0, resolution: int = 16, channel_base: int = 128, channel_max: int = 16, width: int = 16) -> Generator:
    """An untrained network, made a little like a trained one: its mean latent is tracked and its noise inputs are on.

    (Fresh networks have neither, so truncation and constant noise would go untested.) Channels at r px: min(channel_base // r,
    channel_max); `width` is that of z and w. Reseeds torch.
    """
    seeds.reseed(seed, "testing.tiny")
    spec = NetworkSpec(resolution=resolution, z_dim=width, w_dim=width, channel_base=channel_base, channel_max=channel_max)
    network = Generator(spec)
    with torch.no_grad():
        network.mapping.w_avg.copy_(network.mapping(torch.randn(256, width)).mean(dim=0))
        for block in network.synthesis.children():
            assert isinstance(block, SynthesisBlock)
            for layer in (block.conv1,) if block.is_first else (block.conv0, block.conv1):
                layer.noise_strength.fill_(0.1)
    return network


def tiny_generator(*, seed: int = 0, resolution: int = 16, width: int = 16, mpp: float | None = 2.0) -> TrainedGenerator:
    """A generator of `tiny_network`, in memory."""
    return TrainedGenerator(tiny_network(seed=seed, resolution=resolution, width=width), mpp=mpp)


def write_tiny_generator(
    folder: Path, *, seed: int = 0, resolution: int = 16, width: int = 16, mpp: float | None = 2.0
) -> TrainedGenerator:
    """The same, written to `folder` as the generator stage names it, and read back."""
    network = tiny_network(seed=seed, resolution=resolution, width=width)
    save_generator(folder / FILE, network, mpp=mpp, trained={"note": "untrained, for tests"})
    return load_generator(folder / FILE)
