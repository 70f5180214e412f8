"""Training one member: the loop over drawn pixels, and the choice of its best epoch on the validation images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from hdgan.classifier.config import ClassifierConfig
from hdgan.classifier.member import Epoch, Member, load_member, new_member, save_member
from hdgan.classifier.mlp import PixelMlp
from hdgan.classifier.pixels import Image, pixel_table, validation_table
from hdgan.errors import Diverged
from hdgan.features.moments import Standardiser
from hdgan.measures.confusion import confusion
from hdgan.measures.scores import score
from hdgan.training import seeds

_CHUNK_PIXELS = 65_536


def fit_member(
    train: Sequence[Image],
    validate: Sequence[Image],
    config: ClassifierConfig,
    *,
    standardiser: Standardiser,
    num_classes: int,
    seed: int,
    number: int,
    state: Path | None = None,
) -> tuple[PixelMlp, list[Epoch]]:
    """Member `number` with the weights of its best epoch (the last without validation images), and its curve.

    `state` is a file to go on from after an interruption, written after each epoch; the result is the same to the bit.

    Raises:
        BadInput: no pixel is labelled.
        Diverged: the loss is not finite.
    """
    features, labels = _standardised(pixel_table(train, config, seed=seed, member=number), standardiser)
    held_out = _standardised(validation_table(validate, seed=seed), standardiser) if validate else None
    member = new_member(config, num_in=features.shape[1], num_classes=num_classes, seed=seed, number=number)
    if state is not None:
        load_member(state, member)
    for epoch in range(len(member.curve), config.epochs):
        seeds.reseed(seed, f"classifier.epoch.{number}", epoch)
        loss = _epoch(member, features, labels, config)
        if not np.isfinite(loss):
            raise Diverged(f"classifier member {number}: the loss is not finite in epoch {epoch}; lower classifier.lr")
        dice = float("nan") if held_out is None else macro_dice(member.model, *held_out, num_classes=num_classes)
        member.note(Epoch(number, epoch, loss, dice))
        if state is not None:
            save_member(state, member)
    return member.best, member.curve


def macro_dice(model: PixelMlp, features: Tensor, labels: Tensor, *, num_classes: int) -> float:
    """Macro Dice on standardised pixels; classes that none of them has do not count against it."""
    model.eval()
    with torch.no_grad():
        found = torch.cat([model(part).argmax(dim=1) for part in torch.split(features, _CHUNK_PIXELS)])
    matrix = confusion(labels.to(torch.uint8).numpy(), found.to(torch.uint8).numpy(), num_classes)
    return float(score(matrix).dice[matrix.sum(axis=1) > 0].mean())


def _epoch(member: Member, features: Tensor, labels: Tensor, config: ClassifierConfig) -> float:
    """One pass in random order; the mean loss."""
    member.model.train()
    total, num = 0.0, 0
    for index in torch.split(torch.randperm(len(labels)), config.batch_pixels):
        if len(index) < 2:  # batch normalisation needs two
            continue
        loss = F.cross_entropy(member.model(features[index]), labels[index], label_smoothing=config.label_smoothing)
        member.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        member.optimiser.step()
        total += float(loss.detach()) * len(index)
        num += len(index)
    return total / max(num, 1)


def _standardised(table: tuple[Tensor, Tensor], standardiser: Standardiser) -> tuple[Tensor, Tensor]:
    """The table, its features standardised where they are: it can be gigabytes."""
    features, labels = table
    return features.sub_(standardiser.mean).div_(standardiser.std), labels
