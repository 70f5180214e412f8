"""Where meaning sits in the generator: how well classes are told apart by each tapped layer, and which blocks disagree along contours.

Each layer and each block has a probe of its own, a linear discriminant on its maps alone, fitted on training pixels and looked at on validation images. The
ensemble's margin is the chance of its first class less that of its second. Format: docs/formats/latent.md.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hdgan.classifier.ensemble import Ensemble
from hdgan.evaluation.counts import Truth
from hdgan.features.upsample import gather
from hdgan.generator.protocol import TapSpec
from hdgan.labels import IGNORE
from hdgan.measures.boundary import distance_to_contour
from hdgan.measures.confusion import confusion
from hdgan.measures.discriminant import Discriminant, discriminant
from hdgan.measures.scores import score
from hdgan.progress import SILENT, Progress, track
from hdgan.randomness import stream

NEAR_PX = 2.0
"""Pixels at most so far from another class lie along a contour."""
EDGES_PX = (1.0, 2.0, 4.0, 8.0)
"""Upper ends of the ranges of distance, but for the last range, which has none."""

_PIXELS_PER_CLASS = 400
_AT_ONCE = 1 << 17

MapsOf = Callable[[str], Sequence[Tensor]]


@dataclass(frozen=True)
class Group:
    """Maps that a probe sees together: their places among the taps, and what they are called."""

    name: str
    kind: str
    """"layer", "block", or "all"."""
    places: tuple[int, ...]
    channels: int
    resolution: int


@dataclass(frozen=True)
class Seen:
    """A validation image as ensemble and blocks see it; masks uint8 `[H, W]`, margin float32 `[H, W]`, 0 to 1."""

    name: str
    truth: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    margin: NDArray[np.float32]
    blocks: Mapping[str, NDArray[np.uint8]]


def groups_of(taps: Sequence[TapSpec]) -> list[Group]:
    """Each layer, each block (layers of one resolution and name before the dot), and all of them."""
    layers = [Group(tap.name, "layer", (i,), tap.channels, tap.resolution) for i, tap in enumerate(taps)]
    blocks = []
    for name, members in itertools.groupby(layers, key=lambda layer: layer.name.split(".")[0]):
        held = list(members)
        places = tuple(place for layer in held for place in layer.places)
        blocks.append(Group(name, "block", places, sum(layer.channels for layer in held), held[0].resolution))
    whole = Group("all", "all", tuple(range(len(taps))), sum(tap.channels for tap in taps), max(tap.resolution for tap in taps))
    return [*layers, *blocks, whole]


def probes(
    maps_of: MapsOf, truth: Truth, groups: Sequence[Group], *, train: Sequence[str], seed: int, progress: Progress = SILENT
) -> dict[str, Discriminant]:
    """A probe for each group by its name, fitted on up to 400 pixels of each class of each image called `train`; priors are the masks' true shares."""
    num_classes = len(truth.classes)
    features: list[list[NDArray[np.float32]]] = [[] for _ in groups]
    labels, totals = [], np.zeros(num_classes, dtype=np.int64)
    for index, name in enumerate(track(train, total=len(train), label="pixels for the probes", progress=progress)):
        mask, maps = truth.mask(name), maps_of(name)
        totals += np.bincount(mask.ravel(), minlength=IGNORE + 1)[:num_classes]
        rows, columns = np.divmod(balanced_pixels(mask, draw=stream(seed, "latent.pixels", index)), mask.shape[1])
        labels.append(mask[rows, columns])
        for found, group in zip(features, groups, strict=True):
            found.append(_features([maps[i] for i in group.places], rows, columns, size=mask.shape[0]))
    joined, shares = np.concatenate(labels), totals / totals.sum()
    return {group.name: discriminant(np.concatenate(found), joined, shares=shares) for group, found in zip(groups, features, strict=True)}


def balanced_pixels(mask: NDArray[np.uint8], *, draw: np.random.Generator) -> NDArray[np.intp]:
    """Places `[P]` in the flat mask: of each class 400 drawn without repetition, or all that there are."""
    flat, chosen = mask.ravel(), []
    for value in np.unique(flat[flat != IGNORE]):
        places = np.flatnonzero(flat == value)
        chosen.append(draw.permutation(places)[:_PIXELS_PER_CLASS])
    return np.sort(np.concatenate(chosen)) if chosen else np.zeros(0, dtype=np.intp)


def look(
    maps_of: MapsOf, truth: Truth, groups: Sequence[Group], fitted: Mapping[str, Discriminant], ensemble: Ensemble, *, names: Sequence[str]
) -> Iterator[tuple[Seen, dict[str, NDArray[np.int64]]]]:
    """Each image called `names` as it is seen, and the confusion matrix of every probe on it."""
    for name in names:
        mask, maps = truth.mask(name), maps_of(name)
        found = ensemble.predict(maps, size=mask.shape[0], with_chances=True)
        assert found.chances is not None, "asked for"
        upper = np.partition(found.chances, -2, axis=0)[-2:]
        labelled = {group.name: _label(fitted[group.name], [maps[i] for i in group.places], size=mask.shape[0]) for group in groups}
        matrices = {key: confusion(mask, labels, len(truth.classes)) for key, labels in labelled.items()}
        blocks = {group.name: labelled[group.name] for group in groups if group.kind == "block"}
        yield Seen(name, mask, found.mask, upper[1] - upper[0], blocks), matrices


def layer_rows(groups: Sequence[Group], matrices: Mapping[str, NDArray[np.int64]]) -> list[dict[str, Any]]:
    """What each probe makes of the validation pixels, as plain data."""
    rows = []
    for group in groups:
        scores = score(matrices[group.name]).to_json()
        about = {"name": group.name, "kind": group.kind, "channels": group.channels, "resolution": group.resolution}
        rows.append({**about, "macro_dice": scores["macro"]["dice"], "dice": scores["per_class"]["dice"]})
    return rows


def contour_rows(seen: Sequence[Seen]) -> list[dict[str, Any]]:
    """By distance to the true contour: share of the pixels, mean margin, share of errors, and for each block how often it disagrees with the ensemble."""
    far, truth, mask, margin, blocks = _joined(seen)
    rows = []
    for low, high in itertools.pairwise((0.0, *EDGES_PX, np.inf)):
        here = (far > low) & (far <= high)
        num = int(here.sum())
        rows.append(
            {
                "from_px": low,
                "to_px": None if np.isinf(high) else high,
                "pixels": num,
                "share": num / max(len(far), 1),
                "margin": float(margin[here].mean()) if num else None,
                "errors": float((mask != truth)[here].mean()) if num else None,
                "disagree": {name: float((labels != mask)[here].mean()) if num else None for name, labels in blocks.items()},
            }
        )
    return rows


def block_rows(seen: Sequence[Seen]) -> list[dict[str, Any]]:
    """Of each block: how often its probe is right, near contours and elsewhere, and how often it is right where the ensemble is wrong."""
    far, truth, mask, _, blocks = _joined(seen)
    near, wrong = far <= NEAR_PX, mask != truth
    rows = []
    for name, labels in blocks.items():
        right = labels == truth
        wheres = {"near": near, "far": ~near, "near_where_wrong": near & wrong, "far_where_wrong": ~near & wrong}
        rows.append({"name": name, **{key: float(right[where].mean()) if where.any() else None for key, where in wheres.items()}})
    return rows


def _joined(seen: Sequence[Seen]) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float32], dict[str, Any]]:
    """Distance, truth, label, margin and each block's label of all labelled pixels."""
    counted = [one.truth != IGNORE for one in seen]

    def join(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
        return np.concatenate([array[where] for array, where in zip(arrays, counted, strict=True)])

    blocks = {name: join([one.blocks[name] for one in seen]) for name in seen[0].blocks}
    far = join([distance_to_contour(one.truth) for one in seen])
    return far, join([one.truth for one in seen]), join([one.mask for one in seen]), join([one.margin for one in seen]), blocks


def _label(probe: Discriminant, maps: Sequence[Tensor], *, size: int) -> NDArray[np.uint8]:
    """The probe's mask `[size, size]`, in pieces: image-sized features of a block would be gigabytes at 4096 px."""
    found = np.empty(size * size, dtype=np.uint8)
    for start in range(0, size * size, _AT_ONCE):
        places = np.arange(start, min(start + _AT_ONCE, size * size))
        rows, columns = np.divmod(places, size)
        found[places] = probe.labels(_features(maps, rows, columns, size=size))
    return found.reshape(size, size)


def _features(maps: Sequence[Tensor], rows: NDArray[np.intp], columns: NDArray[np.intp], *, size: int) -> NDArray[np.float32]:
    found: NDArray[np.float32] = gather(maps, torch.from_numpy(rows), torch.from_numpy(columns), size=size).numpy()
    return found
