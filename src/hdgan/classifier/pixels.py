"""The table of pixels that a classifier learns from: features and classes of pixels drawn from the training images."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import overload

import numpy as np
import torch
from torch import Tensor

from hdgan.annotations.reader import AnnotationSet
from hdgan.classifier.config import VALIDATION_PIXELS, ClassifierConfig
from hdgan.errors import BadInput
from hdgan.features.bank import FeatureBank
from hdgan.features.moments import Standardiser
from hdgan.features.upsample import gather
from hdgan.labels import IGNORE
from hdgan.randomness import stream
from hdgan.training.memory import trim

Image = tuple[Sequence[Tensor], np.ndarray]
"""Maps `[C, S, S]` and mask `[H, W]` of one annotated image."""

Table = tuple[Tensor, Tensor]
"""Features `[P, C]` float32 and classes `[P]` int64 of pixels."""


_GATHERED_VALUES = 2_000_000


class AnnotatedImages(Sequence[Image]):
    """Annotated images of a run, opened one at a time when they are asked for and held by nobody else.

    Where opening one means drawing it, the tables of several members are taken in one pass, and the validation pixels are kept.
    """

    def __init__(self, bank: FeatureBank, annotated: AnnotationSet, names: Sequence[str], *, members_at_once: int = 1) -> None:
        self._bank, self._annotated, self._names = bank, annotated, names
        self._members_at_once = members_at_once if bank.is_recomputed else 1
        self._waiting: dict[Hashable, Table] = {}
        self._lasting: dict[Hashable, Table] = {}

    def __len__(self) -> int:
        """How many there are."""
        return len(self._names)

    @overload
    def __getitem__(self, index: int) -> Image: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Image]: ...
    def __getitem__(self, index: int | slice) -> Image | Sequence[Image]:
        """An image, its features opened or drawn now; a slice is as lazy as the whole."""
        if isinstance(index, slice):
            return AnnotatedImages(self._bank, self._annotated, self._names[index], members_at_once=self._members_at_once)
        return self._bank.maps(self._names[index]), self.mask(index)

    def mask(self, index: int) -> np.ndarray:
        """The mask `[H, W]` alone."""
        return self._annotated.mask(self._names[index])

    def standardiser(self) -> Standardiser:
        """That of all of them, measured when their features were extracted."""
        return self._bank.standardiser(self._names)

    def table(self, key: Hashable, make: Callable[[int], Mapping[Hashable, Table]]) -> Table:
        """The table called `key`, given away; `make` makes so many from it on when it is not there."""
        if key not in self._waiting:
            self._waiting.clear()
            self._waiting |= make(self._members_at_once)
        return self._waiting.pop(key)

    def lasting(self, key: Hashable, make: Callable[[], Table]) -> Table:
        """The table called `key`, made once where images are drawn for it; the caller may write into what it gets."""
        if not self._bank.is_recomputed:
            return make()
        if key not in self._lasting:
            self._lasting[key] = make()
        features, labels = self._lasting[key]
        return features.clone(), labels


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


def pixel_table(images: Sequence[Image], config: ClassifierConfig, *, seed: int, member: int) -> Table:
    """The pixels drawn for one member from each image.

    Raises:
        BadInput: no pixel of any image is labelled.
    """

    def tables(num: int) -> dict[Hashable, Table]:
        members = range(member, max(min(member + num, config.members), member + 1))
        names = [f"classifier.pixels.{number}" for number in members]
        made = _tables(images, names, num=config.pixels_per_image, balance=config.balance, seed=seed)
        return {(seed, config, number): table for number, table in zip(members, made, strict=True)}

    key = (seed, config, member)
    return images.table(key, tables) if isinstance(images, AnnotatedImages) else tables(1)[key]


def validation_table(images: Sequence[Image], *, seed: int) -> Table:
    """The same of the pixels on which epochs are compared, equal for all members: all that are labelled, or an even draw of them.

    Raises:
        BadInput: no pixel of any image is labelled.
    """

    def table() -> Table:
        return _tables(images, ["classifier.validation"], num=VALIDATION_PIXELS, balance=0.0, seed=seed)[0]

    return images.lasting((seed, VALIDATION_PIXELS), table) if isinstance(images, AnnotatedImages) else table()


def _tables(images: Sequence[Image], names: Sequence[str], *, num: int, balance: float, seed: int) -> list[Table]:
    """A table for each stream in `names`; the maps of an image are opened once for all of them, those of one image at a time."""
    draws: list[list[tuple[Tensor, Tensor, Tensor]]] = []
    for i in range(len(images)):
        mask = images.mask(i) if isinstance(images, AnnotatedImages) else images[i][1]
        places = [draw_pixels(mask, num=num, balance=balance, draw=stream(seed, name, i)) for name in names]
        draws.append([_as_tensors(rows, columns, mask) for rows, columns in places])
    lengths = [sum(len(rows) for rows, _, _ in drawn) for drawn in zip(*draws, strict=True)]
    if not any(lengths):
        raise BadInput("annotations", "no pixel of these images is labelled", "annotate some, 255 means ignored")
    tables: list[Table] = []
    done = [0] * len(names)
    for i, drawn in enumerate(draws):
        maps, mask = images[i]
        tables = tables or [(torch.empty(length, sum(len(m) for m in maps)), torch.empty(length, dtype=torch.int64)) for length in lengths]
        for number, ((features, classes), (rows, columns, labels)) in enumerate(zip(tables, drawn, strict=True)):
            part = slice(done[number], done[number] + len(rows))
            _gather_into(features[part], maps, rows, columns, size=mask.shape[0])
            classes[part] = labels
            done[number] = part.stop
        del maps  # before the next image is opened
        trim()
    return tables


def _gather_into(features: Tensor, maps: Sequence[Tensor], rows: Tensor, columns: Tensor, *, size: int) -> None:
    """Fills `features [P, C]`, some pixels at a time: on the way there are six copies of them."""
    num = max(1, _GATHERED_VALUES // features.shape[1])
    for place, its_rows, its_columns in zip(*(torch.split(values, num) for values in (features, rows, columns)), strict=True):
        place.copy_(gather(maps, its_rows, its_columns, size=size))


def _as_tensors(rows: np.ndarray, columns: np.ndarray, mask: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
    """Rows, columns and classes of drawn pixels, int64 `[P]` each."""
    return torch.from_numpy(rows), torch.from_numpy(columns), torch.from_numpy(mask[rows, columns].astype(np.int64))
