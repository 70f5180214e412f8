"""Weights of classes, and what sampling and weights do to a classifier's idea of how frequent they are. Letters: P pixels, K classes."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def class_weights(labels: Tensor, way: Literal["none", "inverse", "root"], *, num_classes: int) -> Tensor | None:
    """Float32 `[K]`, of mean 1 over the pixels `labels [P]`; 0 for a class that none has, None for `none`."""
    if way == "none":
        return None
    shares = torch.bincount(labels, minlength=num_classes).double() / len(labels)
    power = 1.0 if way == "inverse" else 0.5
    weights = torch.where(shares > 0, shares.clamp(min=1e-300) ** -power, 0.0)
    return (weights / (weights * shares).sum()).float()


def prior_correction(labels: Tensor, weights: Tensor | None, counts: np.ndarray) -> Tensor:
    """What is added to logits `[K]` so that probabilities are for classes as frequent as in `counts [K]`.

    A classifier fitted on pixels `labels [P]` with `weights [K]` learns posteriors for the shares of these; by Bayes' rule posteriors for
    other shares differ by the log of their ratio (Saerens et al. 2002). Exact for the cross-entropy without smoothing. 0 for a class that
    was never seen; the mean of the others is 0.
    """
    learnt = torch.bincount(labels, minlength=len(counts)).double() * (1.0 if weights is None else weights.double())
    true = torch.from_numpy(counts).double()
    is_seen = (learnt > 0) & (true > 0)
    ratio = torch.where(is_seen, true.clamp(min=1) / learnt.clamp(min=1e-300), 1.0).log()
    return torch.where(is_seen, ratio - ratio[is_seen].mean(), 0.0).float()


def dice_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """1 - Dice of probabilities of `logits [P, K]`, a mean over the classes that `labels [P]` has."""
    chances = F.softmax(logits, dim=1)
    truth = F.one_hot(labels, logits.shape[1]).to(chances.dtype)
    present = truth.sum(dim=0) > 0
    dice = 2 * (chances * truth).sum(dim=0) / (chances.sum(dim=0) + truth.sum(dim=0))
    return 1 - dice[present].mean()
