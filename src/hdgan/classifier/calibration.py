"""One temperature for an ensemble: its logits divided by it give the probabilities that fit the validation images best (arXiv 1706.04599).

It changes no member's most probable class. Letters: M members, K classes, P pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from scipy.optimize import minimize_scalar
from torch import Tensor

from hdgan.classifier.mlp import PixelMlp
from hdgan.classifier.pixels import Image, validation_table
from hdgan.classifier.shrinkage import Reading
from hdgan.features.moments import Standardiser
from hdgan.training.threads import one_thread

_CHUNK_PIXELS = 65_536
_RANGE = (0.05, 20.0)


def calibrated_temperature(members: Sequence[PixelMlp], images: Sequence[Image], *, standardiser: Standardiser, seed: int) -> float:
    """The temperature of an ensemble on validation images; 1 without any.

    Raises:
        BadInput: no pixel of the images is labelled.
    """
    if not images:
        return 1.0
    features, labels = validation_table(images, seed=seed, features=Reading.of(standardiser))
    with torch.no_grad(), one_thread():  # its sums would else depend on the number of threads
        logits = torch.stack([torch.cat([member.eval()(part) for part in torch.split(features, _CHUNK_PIXELS)]) for member in members])
        return fit_temperature(logits.transpose(1, 2), labels)


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The temperature, 0.05 to 20, at which the mean of the members' probabilities has the least cross-entropy; of `[M, K, P]` and `[P]`."""

    def cost(log_temperature: float) -> float:
        return cross_entropy(logits / float(torch.tensor(log_temperature).exp()), labels)

    low, high = (float(torch.tensor(limit).log()) for limit in _RANGE)
    found = minimize_scalar(cost, bounds=(low, high), method="bounded", options={"xatol": 1e-3})
    return float(torch.tensor(found.x).exp())


def cross_entropy(logits: Tensor, labels: Tensor) -> float:
    """Mean over pixels, nats, of minus the log of the members' mean probability of the true class; of `[M, K, P]` and `[P]`."""
    log_mean = torch.logsumexp(F.log_softmax(logits.double(), dim=1), dim=0) - torch.tensor(len(logits)).double().log()
    return float(-log_mean.gather(0, labels.unsqueeze(0)).mean())
