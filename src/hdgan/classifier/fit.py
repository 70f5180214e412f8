"""Training one member: the loop over drawn pixels, and the choice of its best epoch on whole validation images."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from hdgan.classifier.config import ClassifierConfig
from hdgan.classifier.factored import fold, probabilities
from hdgan.classifier.mlp import PixelMlp
from hdgan.classifier.pixels import pixel_table
from hdgan.errors import Diverged
from hdgan.features.moments import Standardiser
from hdgan.measures.confusion import confusion
from hdgan.measures.scores import score
from hdgan.training import seeds

Image = tuple[Sequence[Tensor], np.ndarray]
"""Maps `[C, S, S]` and mask `[H, W]` of one annotated image."""


@dataclass(frozen=True)
class Epoch:
    """What one epoch came to; `macro_dice` is that of the validation images, nan without any."""

    member: int
    epoch: int
    loss: float
    macro_dice: float


def fit_member(
    train: Sequence[Image],
    validate: Sequence[Image],
    config: ClassifierConfig,
    *,
    standardiser: Standardiser,
    num_classes: int,
    seed: int,
    member: int,
) -> tuple[PixelMlp, list[Epoch]]:
    """A trained member with the weights of its best epoch (the last without validation images), and its curve.

    Raises:
        Diverged: the loss is not finite.
    """
    features, labels = pixel_table(train, config, seed=seed, member=member)
    features = standardiser(features)
    seeds.reseed(seed, f"classifier.member.{member}")
    model = PixelMlp(features.shape[1], num_classes, hidden=config.hidden, dropout=config.dropout)
    optimiser = _optimiser(model, config)
    best, best_dice, curve = copy.deepcopy(model), -1.0, []
    for epoch in range(config.epochs):
        seeds.reseed(seed, f"classifier.epoch.{member}", epoch)
        loss = _epoch(model, optimiser, features, labels, config)
        if not np.isfinite(loss):
            raise Diverged(f"classifier member {member}: the loss is not finite in epoch {epoch}; lower classifier.lr")
        dice = macro_dice(model, validate, standardiser, num_classes) if validate else float("nan")
        curve.append(Epoch(member, epoch, loss, dice))
        if not validate or dice > best_dice:
            best, best_dice = copy.deepcopy(model), dice
    return best.eval(), curve


def macro_dice(model: PixelMlp, images: Sequence[Image], standardiser: Standardiser, num_classes: int) -> float:
    """Macro Dice of one member on whole images, pooled; classes that no mask holds do not count against it."""
    folded = fold([model], standardiser)
    matrix = np.zeros((num_classes, num_classes), dtype=np.int64)
    for maps, mask in images:
        size = mask.shape[0]
        with torch.no_grad():
            bands = [chances[0].argmax(dim=0).to(torch.uint8).numpy() for _, chances in probabilities(folded, maps, size=size)]
        matrix += confusion(mask, np.concatenate(bands), num_classes)
    present = matrix.sum(axis=1) > 0
    return float(score(matrix).dice[present].mean())


def _epoch(model: PixelMlp, optimiser: torch.optim.Optimizer, features: Tensor, labels: Tensor, config: ClassifierConfig) -> float:
    """One pass in random order; the mean loss."""
    model.train()
    total, num = 0.0, 0
    for index in torch.split(torch.randperm(len(labels)), config.batch_pixels):
        if len(index) < 2:  # batch normalisation needs two
            continue
        loss = F.cross_entropy(model(features[index]), labels[index], label_smoothing=config.label_smoothing)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        total += float(loss.detach()) * len(index)
        num += len(index)
    return total / max(num, 1)


def _optimiser(model: PixelMlp, config: ClassifierConfig) -> torch.optim.Optimizer:
    if config.optimiser == "sgd":
        return torch.optim.SGD(model.parameters(), lr=config.lr, momentum=config.momentum)
    return torch.optim.Adam(model.parameters(), lr=config.lr)
