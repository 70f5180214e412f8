"""The table of pixels that a classifier learns from: features and classes of pixels drawn from the training images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from hdgan.classifier.config import ClassifierConfig
from hdgan.errors import BadInput
from hdgan.features.upsample import gather
from hdgan.labels import IGNORE
from hdgan.randomness import stream


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


def pixel_table(
    images: Sequence[tuple[Sequence[Tensor], np.ndarray]], config: ClassifierConfig, *, seed: int, member: int
) -> tuple[Tensor, Tensor]:
    """Features `[P, C]` float32 and classes `[P]` int64 of the pixels drawn for one member from (maps, mask) of each image.

    Raises:
        BadInput: no pixel of any image is labelled.
    """
    features, labels = [], []
    for number, (maps, mask) in enumerate(images):
        draw = stream(seed, f"classifier.pixels.{member}", number)
        rows, columns = draw_pixels(mask, num=config.pixels_per_image, balance=config.balance, draw=draw)
        features.append(gather(maps, torch.from_numpy(rows), torch.from_numpy(columns), size=mask.shape[0]))
        labels.append(torch.from_numpy(mask[rows, columns].astype(np.int64)))
    table = torch.cat(features)
    if not len(table):
        raise BadInput("annotations", "no pixel of the training images is labelled", "annotate some, 255 means ignored")
    return table, torch.cat(labels)
