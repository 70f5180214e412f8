"""Training one member: the loop over drawn pixels, and the choice of its best epoch on the validation images.

Both run in one thread: sums over a batch would else depend on the number of torch's threads, and batches are too small to gain by more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from hdgan.classifier.config import ClassifierConfig
from hdgan.classifier.losses import class_weights, dice_loss, prior_correction
from hdgan.classifier.member import Epoch, Member, load_member, new_member, save_member
from hdgan.classifier.mlp import PixelMlp
from hdgan.classifier.pixels import Image, masks_of, pixel_table, validation_table
from hdgan.classifier.sampling import class_counts
from hdgan.classifier.shrinkage import Reading
from hdgan.errors import Diverged
from hdgan.features.moments import Standardiser
from hdgan.measures.confusion import confusion
from hdgan.measures.scores import score
from hdgan.training import seeds
from hdgan.training.threads import one_thread

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
    projection: Tensor | None = None,
    state: Path | None = None,
) -> tuple[PixelMlp, list[Epoch]]:
    """Member `number` with the weights of its best epoch (the last without validation images), and its curve.

    It reads standardised features `[P, C]`, whether or not it was trained on their `projection [C, N]`, and its probabilities are for the
    classes' shares in the training masks where `config.prior_correction` asks for it. `state` is a file to go on from after an interruption,
    written after each epoch; the result is the same to the bit.

    Raises:
        BadInput: no pixel is labelled.
        Diverged: the loss is not finite.
    """
    reading = Reading.of(standardiser, projection)
    features, labels = pixel_table(train, config, seed=seed, member=number, features=reading)
    held_out = validation_table(validate, seed=seed, features=reading) if validate else None
    counts = class_counts(masks_of(train), num_classes)
    weights = class_weights(labels, config.class_weights, num_classes=num_classes)
    correction = prior_correction(labels, weights, counts) if config.prior_correction else torch.zeros(num_classes)
    member = new_member(config, num_in=features.shape[1], num_classes=num_classes, seed=seed, number=number)
    if state is not None:
        load_member(state, member)
    while not member.is_done(config):
        epoch = len(member.curve)
        seeds.reseed(seed, f"classifier.epoch.{number}", epoch)
        _set_step(member, config, epoch)
        loss = _epoch(member, features, labels, config, weights=weights)
        if not np.isfinite(loss):
            raise Diverged(f"classifier member {number}: the loss is not finite in epoch {epoch}; lower classifier.lr")
        dice, validation_loss = math.nan, math.nan
        if held_out is not None:
            dice, validation_loss = merits(
                member.model, *held_out, correction=correction, decision=mask_offsets(counts, config.mask_balance)
            )
        member.note(Epoch(number, epoch, loss, dice, validation_loss), keep=config.keep)
        if state is not None:
            save_member(state, member)
    member.best.shift_logits(correction)
    return member.best if projection is None else member.best.behind(projection), member.curve


def mask_offsets(counts: np.ndarray, balance: float) -> Tensor:
    """What is added to log probabilities `[K]` before the largest becomes the mask: -`balance` times the log of the class's share of `counts [K]`.

    0 for a class that no training mask shows.
    """
    shares = counts / counts.sum()
    return torch.from_numpy(np.where(counts > 0, -balance * np.log(np.maximum(shares, 1e-300)), 0.0)).float()


@one_thread()
def merits(model: PixelMlp, features: Tensor, labels: Tensor, *, correction: Tensor, decision: Tensor) -> tuple[float, float]:
    """Macro Dice of the mask and cross-entropy (nats) of the probabilities on pixels as the model reads them.

    `correction [K]` belongs to the logits, `decision [K]` to the mask alone. Classes that none of the pixels has do not count against it.
    """
    model.eval()
    with torch.no_grad():
        found = torch.cat([model(part) for part in torch.split(features, _CHUNK_PIXELS)]) + correction
    matrix = confusion(labels.to(torch.uint8).numpy(), (found + decision).argmax(dim=1).to(torch.uint8).numpy(), len(correction))
    return float(score(matrix).dice[matrix.sum(axis=1) > 0].mean()), float(F.cross_entropy(found, labels))


@one_thread()
def _epoch(member: Member, features: Tensor, labels: Tensor, config: ClassifierConfig, *, weights: Tensor | None) -> float:
    """One pass in random order, or up to where the training loss ends it; the mean loss."""
    member.model.train()
    is_noisy, can_stall = config.input_noise > 0, config.stall_batches is not None and len(member.curve) >= config.stall_from_epoch
    total, num = 0.0, 0
    for index in torch.split(torch.randperm(len(labels)), config.batch_of(len(labels))):
        if len(index) < 2:  # batch normalisation needs two
            continue
        x, y = features[index], labels[index]
        if is_noisy and float(torch.rand(())) < config.input_noise_chance:
            x += config.input_noise * torch.randn_like(x)
        logits = member.model(member.input_dropout(x))
        loss = F.cross_entropy(logits, y, weight=weights, label_smoothing=config.label_smoothing)
        if config.loss == "cross-entropy-dice":
            loss = loss + dice_loss(logits, y)
        member.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        member.optimiser.step()
        value = float(loss.detach())
        total, num = total + value * len(index), num + len(index)
        member.stall.note(value)
        if can_stall and config.stall_batches is not None and member.stall.num_batches >= config.stall_batches:
            member.is_stalled = True
            break
    return total / max(num, 1)


def _set_step(member: Member, config: ClassifierConfig, epoch: int) -> None:
    """The optimiser's step in this epoch: a cosine over the epochs' middles, so that none is 0."""
    share = 0.5 * (1 + math.cos(math.pi * (epoch + 0.5) / config.epochs)) if config.schedule == "cosine" else 1.0
    for group in member.optimiser.param_groups:
        group["lr"] = config.lr * share
