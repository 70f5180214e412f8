"""How much of an image's layout the latent decides: `python benchmarks/latent_share.py [GENERATOR.safetensors] [--latents 64]`.

For each tapped map and the image, drawn from some latents at psi 1: of the spatial variance (each map less its mean), the share that
differs between latents. What is left is one pattern that all images have in common. Noise counts as part of the latent where each image
has its own, as in preset `small`; where all share the stored maps it is common to all. Without an argument the shipped generator is measured.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

from hdgan.generator.weights import load_generator
from hdgan.training.seeds import torch_stream

SHIPPED = Path(__file__).resolve().parents[1] / "src" / "hdgan" / "shipped" / "generator.safetensors"


def share(maps: Tensor) -> float:
    """The share of `maps [N, C, H, W]`, 0 (all alike) to 1."""
    layout = maps - maps.mean(dim=(2, 3), keepdim=True)
    return float((layout - layout.mean(dim=0)).square().mean() / layout.square().mean())


def main() -> None:
    """Prints a line for each tap, coarse to fine, and one for the image."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("generator", type=Path, nargs="?", default=SHIPPED)
    parser.add_argument("--latents", type=int, default=64)
    options = parser.parse_args()
    generator = load_generator(options.generator)
    z = torch.randn(options.latents, generator.z_dim, generator=torch_stream(0, "latent_share"))
    num_blocks = len(generator.spec.block_resolutions)
    drawn = [generator.render_taps(w, num_blocks=num_blocks) for w in generator.map(z, psi=1.0).split(1)]
    for i, tap in enumerate(generator.taps(num_blocks)):
        print(f"{tap.name:12} {share(torch.cat([maps[i] for _, maps in drawn])):.2f}")
    print(f"{'image':12} {share(torch.cat([image for image, _ in drawn])):.2f}")


if __name__ == "__main__":
    main()
