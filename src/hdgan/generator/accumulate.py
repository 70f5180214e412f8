"""Gradients of a batch whose images see each other, with the graph of one pass held at a time.

Minibatch statistics tie the images of a group together, and at 4096 px a pass has room for one image. Only the last block,
on maps of 4x4, sees more than one image, so the chain rule is cut there (docs/decisions/007-statistics-across-passes.md):
the features of all passes are computed without a graph, the last block is differentiated on the whole batch, and each pass
is run again to carry its share back. The gradients are those of the whole batch, to rounding. The idea of caching
gradients at a narrow place is that of arXiv 2101.06983.

Whatever a pass draws must be a function of counters: it runs twice (for R1 three times) and must give the same.
Letters: B images of the batch, N of a pass, C channels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Pass = Callable[[], Tensor]
"""One pass: features `[N, C, 4, 4]` of its images."""


def backward(passes: Sequence[Pass], judge: Callable[[Tensor], Tensor]) -> Tensor:
    """The loss `judge(features [B, C, 4, 4])` of all passes, detached; its gradients are added to the parameters' own."""
    features = gathered(passes)
    loss = judge(features)
    loss.backward()  # type: ignore[no-untyped-call]
    carry_back(passes, features)
    return loss.detach()


def r1_backward(
    reals: Sequence[Tensor], see: Callable[[int, Tensor], Tensor], judge: Callable[[Tensor], Tensor], *, weight: float
) -> Tensor:
    """R1 `[B]` of all passes, detached; the gradients of `weight` times its mean are added to the parameters' own.

    `see(i, images)` gives the features of pass i, `judge` logits of features `[B, C, 4, 4]`. With v the gradient of all logits
    at an image's features, and J the derivative of those features by the image, the penalty is |J^T v|^2. It depends on the
    weights through J (differentiated pass by pass, v held), and through v, which depends on all features.
    """
    passes = [lambda i=i, real=real: see(i, real) for i, real in enumerate(reals)]
    features = gathered(passes)
    (pulls,) = torch.autograd.grad(judge(features).sum(), features, create_graph=True)
    held = pulls.detach().requires_grad_()
    num_images, penalties = len(features), []
    for i, (real, pull) in enumerate(zip(reals, torch.split(held, [len(real) for real in reals]), strict=True)):
        image = real.detach().requires_grad_()
        seen = see(i, image)
        (gradient,) = torch.autograd.grad(seen, image, pull.to(seen.dtype), create_graph=True)
        penalty = gradient.square().sum(dim=(1, 2, 3))
        (penalty.sum() * (weight / num_images)).backward()  # type: ignore[no-untyped-call]
        penalties.append(penalty.detach())
    assert held.grad is not None, "every penalty depends on its pull"
    pulls.backward(held.grad)  # type: ignore[no-untyped-call]
    carry_back(passes, features)
    return torch.cat(penalties)


def gathered(passes: Sequence[Pass]) -> Tensor:
    """Features `[B, C, 4, 4]` float32 of all passes, without their graphs, ready to be differentiated by."""
    with torch.no_grad():
        return torch.cat([see().float() for see in passes]).requires_grad_()


def carry_back(passes: Sequence[Pass], features: Tensor) -> None:
    """Runs each pass again and adds to the parameters' gradients what `features.grad [B, C, 4, 4]` makes of it."""
    assert features.grad is not None, "differentiate the last block first"
    first = 0
    for see in passes:
        seen = see()
        if seen.requires_grad:  # not where all its layers are frozen
            seen.backward(features.grad[first : first + len(seen)].to(seen.dtype))  # type: ignore[no-untyped-call]
        first += len(seen)
