"""The training objectives, each a function of tensors (arXiv 1912.04958, section 3; arXiv 1801.04406 for R1)."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor


def generator_loss(fake_logits: Tensor) -> Tensor:
    """Non-saturating loss, mean over images."""
    return F.softplus(-fake_logits).mean()


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Logistic loss, mean over images."""
    return F.softplus(fake_logits).mean() + F.softplus(-real_logits).mean()


def r1_penalty(discriminate: Callable[[Tensor], Tensor], real: Tensor) -> Tensor:
    """`[N]`: squared gradient of each image's logit at the image, to be weighted by gamma / 2.

    `real [N, C, H, W]` are raw images and `discriminate` includes the augmentation, so the penalty is differentiated
    through it, as in arXiv 2006.06676.
    """
    real = real.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(discriminate(real).sum(), real, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3))


def r1_penalty_through(augment: Callable[[Tensor], Tensor], gradient_at: Callable[[Tensor], Tensor], real: Tensor) -> Tensor:
    """`r1_penalty` of a discriminator behind `augment`, out of the gradient of its logits at what it sees.

    By the chain rule. Only the weights are differentiated by afterwards, and what the discriminator sees does not depend on them.
    """
    real = real.detach().requires_grad_(True)
    seen = augment(real)
    gradient = gradient_at(seen.detach())
    if seen is not real:
        (gradient,) = torch.autograd.grad(seen, real, gradient, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3))


def path_lengths(image: Tensor, ws: Tensor, direction: Tensor) -> Tensor:
    """`[N]`: length of the gradient of `image . direction` at the latents `ws [N, L, D]`, root mean square over L.

    `direction` is standard normal noise of the image's shape (appendix B of arXiv 1912.04958).
    """
    (gradient,) = torch.autograd.grad((image * scaled(direction)).sum(), ws, create_graph=True)
    return lengths(gradient)


def scaled(direction: Tensor) -> Tensor:
    """Noise `[N, C, H, W]` whose product with an image does not grow with its size."""
    return direction / math.sqrt(direction.shape[2] * direction.shape[3])


def lengths(gradient: Tensor) -> Tensor:
    """`[N]`: length of `gradient [N, L, D]`, root mean square over L."""
    return gradient.square().sum(dim=2).mean(dim=1).sqrt()
