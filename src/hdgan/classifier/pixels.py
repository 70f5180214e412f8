"""The table of pixels that a classifier learns from: features and classes of pixels drawn from the training images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from hdgan.classifier.config import VALIDATION_PIXELS, ClassifierConfig
from hdgan.errors import BadInput
from hdgan.features.upsample import gather
from hdgan.labels import IGNORE
from hdgan.randomness import stream

Image = tuple[Sequence[Tensor], np.ndarray]
"""Maps `[C, S, S]` and mask `[H, W]` of one annotated image."""


def draw_pixels(mask: np.ndarray, *, num: int, balance: float, draw: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns `[P]` of at most `num` labelled pixels, without repetition.

    A class is drawn with chance proportional to its share to the power 1 - `balance`, until its pixels run out.
    """
    labelled = np.flatnonzero(mask.ravel() != IGNORE)
    if len(labelled) <= num:
        return np.divmod(labelled, mask.shape[1])
    labels = mask.ravel()[labelled]
    shares = np.bincount(labels, minlength=IGNORE) / len(labels)
    weights = shares[labels] ** -balance
    # Efraimidis and Spirakis 2006: the largest log(u) / weight are a weighted sample without replacement.
    keys = np.log(draw.random(len(labelled))) / weights
    chosen = np.sort(labelled[np.argpartition(keys, -num)[-num:]])
    return np.divmod(chosen, mask.shape[1])


def pixel_table(images: Sequence[Image], config: ClassifierConfig, *, seed: int, member: int) -> tuple[Tensor, Tensor]:
    """Features `[P, C]` float32 and classes `[P]` int64 of the pixels drawn for one member from each image.

    Raises:
        BadInput: no pixel of any image is labelled.
    """
    return _table(images, f"classifier.pixels.{member}", num=config.pixels_per_image, balance=config.balance, seed=seed)


def validation_table(images: Sequence[Image], *, seed: int) -> tuple[Tensor, Tensor]:
    """The same of the pixels on which epochs are compared, equal for all members: all that are labelled, or an even draw of them.

    Raises:
        BadInput: no pixel of any image is labelled.
    """
    return _table(images, "classifier.validation", num=VALIDATION_PIXELS, balance=0.0, seed=seed)


def _table(images: Sequence[Image], name: str, *, num: int, balance: float, seed: int) -> tuple[Tensor, Tensor]:
    draws = [draw_pixels(mask, num=num, balance=balance, draw=stream(seed, name, i)) for i, (_, mask) in enumerate(images)]
    lengths = [len(rows) for rows, _ in draws]
    if not sum(lengths):
        raise BadInput("annotations", "no pixel of these images is labelled", "annotate some, 255 means ignored")
    features = torch.empty(sum(lengths), sum(len(m) for m in images[0][0]))
    labels = torch.empty(sum(lengths), dtype=torch.int64)
    places = zip(torch.split(features, lengths), torch.split(labels, lengths), strict=True)
    for (maps, mask), (rows, columns), (its_features, its_labels) in zip(images, draws, places, strict=True):
        its_features.copy_(gather(maps, torch.from_numpy(rows), torch.from_numpy(columns), size=mask.shape[0]))
        its_labels.copy_(torch.from_numpy(mask[rows, columns].astype(np.int64)))
    return features, labels
