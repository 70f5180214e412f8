"""Which pixels a classifier learns from: drawn by image and by class, never one whose label is 255.

`uniform`: all labelled pixels of all images alike. `stratified`: the same number from every image, within it a class more or less often than
its share. `balanced`: the same number of every class, within it the same number from every image that shows it. Pixels are drawn without
repetition; where a class or an image has too few, the others give more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from hdgan.labels import IGNORE
from hdgan.randomness import stream

Sampling = Literal["stratified", "balanced", "uniform"]
Places = tuple[np.ndarray, np.ndarray]
"""Rows and columns `[P]` int64 of pixels of one mask."""


def draw_places(masks: Sequence[np.ndarray], *, sampling: Sampling, num: int, balance: float, seed: int, name: str) -> list[Places]:
    """The pixels drawn from each mask, `num` for each image on average, fewer where there are no more.

    `balance` is for `stratified`. The draw is a function of (`seed`, `name`, number of the image).
    """
    if sampling == "stratified":
        return [draw_pixels(mask, num=num, balance=balance, draw=stream(seed, name, i)) for i, mask in enumerate(masks)]
    counts = np.stack([np.bincount(mask.ravel(), minlength=IGNORE + 1)[:IGNORE] for mask in masks])
    total = num * len(masks)
    if sampling == "uniform":
        quotas = proportional(total, counts.sum(axis=1))
        pairs = enumerate(zip(masks, quotas, strict=True))
        return [draw_pixels(mask, num=int(n), balance=0.0, draw=stream(seed, name, i)) for i, (mask, n) in pairs]
    of_class = even(total, counts.sum(axis=0))
    quotas = np.stack([even(int(n), counts[:, kind]) for kind, n in enumerate(of_class)], axis=1)
    return [_draw_classes(mask, quotas[i], draw=stream(seed, name, i)) for i, mask in enumerate(masks)]


def draw_pixels(mask: np.ndarray, *, num: int, balance: float, draw: np.random.Generator) -> Places:
    """Rows and columns `[P]` of at most `num` labelled pixels, without repetition.

    A class is drawn with chance proportional to its share to the power 1 - `balance`, until its pixels run out.
    """
    labelled = np.flatnonzero(mask.ravel() != IGNORE)
    if len(labelled) <= num:
        return np.divmod(labelled, mask.shape[1])
    if num == 0:
        return np.divmod(labelled[:0], mask.shape[1])
    labels = mask.ravel()[labelled]
    shares = np.bincount(labels, minlength=IGNORE) / len(labels)
    weights = shares[labels] ** -balance
    # Efraimidis and Spirakis 2006: the largest log(u) / weight are a weighted sample without replacement.
    keys = np.log(draw.random(len(labelled))) / weights
    chosen = np.sort(labelled[np.argpartition(keys, -num)[-num:]])
    return np.divmod(chosen, mask.shape[1])


def even(total: int, capacities: np.ndarray) -> np.ndarray:
    """Counts `[N]` int64 as even as the `capacities [N]` allow: their sum is `total`, or all there is; what does not divide goes to the first."""
    counts = np.zeros(len(capacities), dtype=np.int64)
    left = min(total, int(capacities.sum()))
    while left:
        open_ones = np.flatnonzero(counts < capacities)
        each = left // len(open_ones)
        if not each:
            counts[open_ones[:left]] += 1
            break
        more = np.minimum(each, capacities[open_ones] - counts[open_ones])
        counts[open_ones] += more
        left -= int(more.sum())
    return counts


def proportional(total: int, capacities: np.ndarray) -> np.ndarray:
    """Counts `[N]` int64 in the proportions of `capacities [N]`: their sum is `total`, or all there is (largest remainders, the first of equals)."""
    whole = int(capacities.sum())
    if total >= whole:
        return capacities.astype(np.int64)
    counts, rest = np.divmod(capacities.astype(np.int64) * total, whole)
    counts[np.argsort(-rest, kind="stable")[: total - int(counts.sum())]] += 1
    return counts


def class_counts(masks: Sequence[np.ndarray], num_classes: int) -> np.ndarray:
    """Labelled pixels of each class in all masks, int64 `[K]`."""
    counts = np.zeros(num_classes, dtype=np.int64)
    for mask in masks:
        counts += np.bincount(mask.ravel(), minlength=IGNORE + 1)[:num_classes]
    return counts


def _draw_classes(mask: np.ndarray, quotas: np.ndarray, *, draw: np.random.Generator) -> Places:
    """`quotas[k]` pixels of each class k, at most as many as there are."""
    keys = draw.random(mask.size)
    chosen = []
    for kind in np.flatnonzero(quotas):
        pixels = np.flatnonzero(mask.ravel() == kind)
        chosen.append(pixels[np.argsort(keys[pixels], kind="stable")[: quotas[kind]]])
    return np.divmod(np.sort(np.concatenate(chosen)) if chosen else np.empty(0, dtype=np.int64), mask.shape[1])
