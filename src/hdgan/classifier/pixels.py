"""The table of pixels that a classifier learns from: features and classes of pixels drawn from the training images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from hdgan.classifier.config import VALIDATION_PIXELS, ClassifierConfig
from hdgan.classifier.sampling import Places, draw_places
from hdgan.classifier.shrinkage import Reading
from hdgan.errors import BadInput

Image = tuple[Sequence[Tensor], np.ndarray]
"""Maps `[C, S, S]` and mask `[H, W]` of one annotated image."""


def pixel_table(
    images: Sequence[Image], config: ClassifierConfig, *, seed: int, member: int, features: Reading | None = None
) -> tuple[Tensor, Tensor]:
    """Features `[P, C]` float32 and classes `[P]` int64 of the pixels drawn for one member from the images.

    Raises:
        BadInput: no pixel of any image is labelled.
    """
    masks = [mask for _, mask in images]
    name = f"classifier.pixels.{member}"
    draws = draw_places(masks, sampling=config.sampling, num=config.pixels_per_image, balance=config.balance, seed=seed, name=name)
    return _table(images, draws, features)


def validation_table(images: Sequence[Image], *, seed: int, features: Reading | None = None) -> tuple[Tensor, Tensor]:
    """The same of the pixels on which epochs are compared, equal for all members: all that are labelled, or an even draw of them.

    Raises:
        BadInput: no pixel of any image is labelled.
    """
    masks = [mask for _, mask in images]
    draws = draw_places(masks, sampling="stratified", num=VALIDATION_PIXELS, balance=0.0, seed=seed, name="classifier.validation")
    return _table(images, draws, features)


def _table(images: Sequence[Image], draws: Sequence[Places], features: Reading | None) -> tuple[Tensor, Tensor]:
    lengths = [len(rows) for rows, _ in draws]
    if not sum(lengths):
        raise BadInput("annotations", "no pixel of these images is labelled", "annotate some, 255 means ignored")
    read = features or Reading(width=sum(len(m) for m in images[0][0]))
    table = torch.empty(sum(lengths), read.width)
    labels = torch.empty(sum(lengths), dtype=torch.int64)
    places = zip(torch.split(table, lengths), torch.split(labels, lengths), strict=True)
    for (maps, mask), (rows, columns), (its_features, its_labels) in zip(images, draws, places, strict=True):
        its_features.copy_(read(maps, torch.from_numpy(rows), torch.from_numpy(columns), size=mask.shape[0]))
        its_labels.copy_(torch.from_numpy(mask[rows, columns].astype(np.int64)))
    return table, labels
