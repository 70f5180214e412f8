"""How a training step calls the networks: operation by operation, or compiled into fused kernels (`torch.compile`).

What torch compiles can be differentiated once. The two penalties differentiate a gradient, so the inner gradient is part of what is
compiled (`torch.func.grad`) and only the outer one is left to the step. Both ways give the same numbers to rounding. Letters: N images,
C channels, R px, L latents of an image, D their width.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from hdgan.errors import BadConfig
from hdgan.generator.networks import Discriminator, Generator

Maps = Mapping[str, Tensor]
"""Noise `[N, 1, H, W]` by layer."""


@dataclass(frozen=True)
class Calls:
    """What a step needs of both networks."""

    synthesis: Callable[[Tensor, Maps], Tensor]
    """Images `[N, C, R, R]` of `ws [N, L, D]` and noise."""
    features: Callable[[Tensor], Tensor]
    """What the discriminator knows of each image by itself, `[N, C', 4, 4]` of `[N, C, R, R]`."""
    is_joined: bool
    """Whether the discriminator sees real and drawn images in one call; the numbers are the same to rounding."""
    image_gradient: Callable[[Tensor, Tensor | None], Tensor]
    """Gradient of each image's logit at the image, `[N, C, R, R]`, given its label; differentiable in the weights, not in the image."""
    latent_gradient: Callable[[Tensor, Maps, Tensor], Tensor]
    """Gradient of the images' product with a direction `[N, C, R, R]` at `ws`, `[N, L, D]`; differentiable in weights and `ws`."""

    def features_of_both(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """`features` of each; only what comes after them lets images see each other."""
        if not self.is_joined:
            return self.features(real), self.features(fake)
        real_features, fake_features = self.features(torch.cat((real, fake))).chunk(2)
        return real_features, fake_features


def plain_calls(G: Generator, D: Discriminator) -> Calls:
    """The networks as they are; on a GPU, where starting a kernel costs, with one call for real and drawn images."""
    is_joined = next(D.parameters()).is_cuda

    def image_gradient(image: Tensor, label: Tensor | None) -> Tensor:
        image = image.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(D(image, label).sum(), image, create_graph=True)
        return gradient

    def latent_gradient(ws: Tensor, noise: Maps, direction: Tensor) -> Tensor:
        (gradient,) = torch.autograd.grad((G.synthesis(ws, noise=noise) * direction).sum(), ws, create_graph=True)
        return gradient

    return Calls(
        lambda ws, noise: G.synthesis(ws, noise=noise), lambda image: D.features(image), is_joined, image_gradient, latent_gradient
    )


def compiled_calls(G: Generator, D: Discriminator, *, backend: str = "inductor") -> Calls:
    """The networks compiled, one graph a call; each is compiled when it is first called, which takes a minute or more.

    Where blocks are computed twice instead of kept, the penalties stay as they are.

    Raises:
        BadConfig: torch cannot compile on this machine.
    """
    device = next(G.parameters()).device
    try:
        torch.compile(lambda x: x * 2 + 1, backend=backend)(torch.zeros(4, device=device))
    except (RuntimeError, ImportError) as error:
        first = str(error).strip().splitlines()[0]
        raise BadConfig("generator.is_compiled", f"torch cannot compile for {device.type} here ({first})", "leave it out") from error

    def synthesis(ws: Tensor, noise: Maps) -> Tensor:
        return G.synthesis(ws, noise=noise)  # type: ignore[no-any-return]

    def image_gradient(image: Tensor, label: Tensor | None) -> Tensor:
        return torch.func.grad(lambda x: D(x, label).sum())(image)  # type: ignore[no-any-return]

    def latent_gradient(ws: Tensor, noise: Maps, direction: Tensor) -> Tensor:
        return torch.func.grad(lambda x: (G.synthesis(x, noise=noise) * direction).sum())(ws)  # type: ignore[no-any-return]

    # The tracer looks at `.grad` of latents, which are no leaves; torch warns of its own doing.
    warnings.filterwarnings("ignore", message="The .grad attribute of a Tensor that is not a leaf Tensor")
    draw, see, pull, push = (
        torch.compile(call, backend=backend, fullgraph=True, dynamic=False)
        for call in (synthesis, D.features, image_gradient, latent_gradient)
    )
    if D.recompute_from_px is not None or G.synthesis.recompute_from_px is not None:  # torch.func cannot compute anything twice
        plain = plain_calls(G, D)
        return Calls(draw, see, True, plain.image_gradient, plain.latent_gradient)
    return Calls(draw, see, True, lambda image, label: pull(image.detach(), label), push)
