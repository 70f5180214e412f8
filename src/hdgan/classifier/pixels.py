"""The table of pixels that a classifier learns from: features and classes of pixels drawn from the training images."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import overload

import numpy as np
import torch
from torch import Tensor

from hdgan.annotations.reader import AnnotationSet
from hdgan.classifier.config import VALIDATION_PIXELS, ClassifierConfig
from hdgan.classifier.sampling import Places, draw_places
from hdgan.classifier.shrinkage import Reading
from hdgan.errors import BadInput
from hdgan.features.bank import FeatureBank
from hdgan.features.moments import Standardiser
from hdgan.training.memory import trim

Image = tuple[Sequence[Tensor], np.ndarray]
"""Maps `[C, S, S]` and mask `[H, W]` of one annotated image."""

Table = tuple[Tensor, Tensor]
"""Features `[P, C]` float32 and classes `[P]` int64 of pixels."""


_GATHERED_VALUES = 2_000_000


class LazyImages(Sequence[Image], ABC):
    """Annotated images whose maps are made or opened when they are asked for."""

    @abstractmethod
    def mask(self, index: int) -> np.ndarray:
        """The mask `[H, W]` of an image alone, without its maps."""


class AnnotatedImages(LazyImages):
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
        """See `LazyImages.mask`."""
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


def masks_of(images: Sequence[Image]) -> list[np.ndarray]:
    """The masks `[H, W]` alone, without opening a map."""
    if isinstance(images, LazyImages):
        return [images.mask(i) for i in range(len(images))]
    return [mask for _, mask in images]


def pixel_table(images: Sequence[Image], config: ClassifierConfig, *, seed: int, member: int, features: Reading | None = None) -> Table:
    """The pixels drawn for one member from the images, read as they are unless `features` says how.

    Raises:
        BadInput: no pixel of any image is labelled.
    """

    def tables(num: int) -> dict[Hashable, Table]:
        masks, members = masks_of(images), range(member, max(min(member + num, config.members), member + 1))
        draws = [
            draw_places(
                masks,
                sampling=config.sampling,
                num=config.pixels_per_image,
                balance=config.balance,
                seed=seed,
                name=f"classifier.pixels.{number}",
            )
            for number in members
        ]
        return {_key(number): table for number, table in zip(members, _tables(images, masks, draws, features), strict=True)}

    def _key(number: int) -> Hashable:
        return (seed, config, number, None if features is None else features.fingerprint)

    return images.table(_key(member), tables) if isinstance(images, AnnotatedImages) else tables(1)[_key(member)]


def validation_table(images: Sequence[Image], *, seed: int, features: Reading | None = None) -> Table:
    """The same of the pixels on which epochs are compared, equal for all members: all that are labelled, or an even draw of them.

    Raises:
        BadInput: no pixel of any image is labelled.
    """

    def table() -> Table:
        masks = masks_of(images)
        draws = draw_places(masks, sampling="stratified", num=VALIDATION_PIXELS, balance=0.0, seed=seed, name="classifier.validation")
        return _tables(images, masks, [draws], features)[0]

    key = (seed, VALIDATION_PIXELS, None if features is None else features.fingerprint)
    return images.lasting(key, table) if isinstance(images, AnnotatedImages) else table()


def _tables(
    images: Sequence[Image], masks: Sequence[np.ndarray], draws: Sequence[Sequence[Places]], features: Reading | None
) -> list[Table]:
    """A table for each member of `draws`, which has places in every image; the maps of an image are opened once for all of them, those of one
    image at a time.
    """
    lengths = [sum(len(rows) for rows, _ in drawn) for drawn in draws]
    if not any(lengths):
        raise BadInput("annotations", "no pixel of these images is labelled", "annotate some, 255 means ignored")
    tables: list[Table] = []
    done = [0] * len(draws)
    for i, mask in enumerate(masks):
        maps, _ = images[i]
        read = features or Reading(width=sum(len(m) for m in maps))
        tables = tables or [(torch.empty(length, read.width), torch.empty(length, dtype=torch.int64)) for length in lengths]
        for number, (table, drawn) in enumerate(zip(tables, draws, strict=True)):
            rows, columns = drawn[i]
            part = slice(done[number], done[number] + len(rows))
            _read_into(table[0][part], read, maps, torch.from_numpy(rows), torch.from_numpy(columns), size=mask.shape[0])
            table[1][part] = torch.from_numpy(mask[rows, columns].astype(np.int64))
            done[number] = part.stop
        del maps  # before the next image is opened
        trim()
    return tables


def _read_into(table: Tensor, read: Reading, maps: Sequence[Tensor], rows: Tensor, columns: Tensor, *, size: int) -> None:
    """Fills `table [P, width]`, some pixels at a time: on the way there are six copies of them."""
    num = max(1, _GATHERED_VALUES // sum(len(m) for m in maps))
    for place, its_rows, its_columns in zip(*(torch.split(values, num) for values in (table, rows, columns)), strict=True):
        place.copy_(read(maps, its_rows, its_columns, size=size))
