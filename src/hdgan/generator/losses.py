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


def path_lengths(image: Tensor, ws: Tensor, direction: Tensor) -> Tensor:
    """`[N]`: length of the gradient of `image . direction` at the latents `ws [N, L, D]`, root mean square over L.

    `direction` is standard normal noise of the image's shape (appendix B of arXiv 1912.04958).
    """
    scaled = direction / math.sqrt(image.shape[2] * image.shape[3])
    (gradient,) = torch.autograd.grad((image * scaled).sum(), ws, create_graph=True)
    return gradient.square().sum(dim=2).mean(dim=1).sqrt()
