"""Other ways to label the same images from the same annotations: without them a score says little.

`filters`: the same pixel classifier on colour and a filter bank. `untrained`: the same classifier on the features of a
generator of the same shape with initial weights. A U-Net comes from outside as a predictor of images. `constant`: no
look at the image at all; always there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, overload

import numpy as np
import torch
from torch import Tensor

from hdgan.annotations.reader import AnnotationSet
from hdgan.classifier.config import ClassifierConfig
from hdgan.classifier.ensemble import Ensemble
from hdgan.classifier.pixels import Image, LazyImages
from hdgan.classifier.stage import fit_ensemble
from hdgan.evaluation.counts import Truth
from hdgan.evaluation.filters import filter_maps
from hdgan.features.colour import image_map
from hdgan.generator.protocol import LatentGenerator, TapSpec
from hdgan.store.bank import SampleBank

Predictor = Callable[[np.ndarray], np.ndarray]
"""Image uint8 `[H, W, 3]` to mask uint8 `[H, W]`."""

MapsOf = Callable[[str], Sequence[Tensor]]
"""Name of an annotated image to maps `[C, S, S]`."""

_HELD_BYTES = 2**31

TITLES = {
    "hdgan": "generator features (ours)",
    "filters": "colour + filter bank",
    "untrained": "untrained generator's features",
    "unet": "U-Net on the same images",
    "constant": "always the most frequent class",
}


def constant_control(annotated: AnnotationSet) -> Callable[[str], np.ndarray]:
    """The training masks' most frequent class everywhere: what pixel accuracy is worth where one class prevails."""
    counts = sum(np.bincount(annotated.mask(name).ravel(), minlength=256) for name in annotated.split["train"])
    mask = np.full((annotated.resolution,) * 2, np.argmax(np.asarray(counts)[: len(annotated.classes)]), dtype=np.uint8)
    return lambda _: mask


def filter_control(bank: SampleBank) -> MapsOf:
    """Filter responses of the stored images."""
    return lambda name: (filter_maps(bank.image(bank.by_name(name).index)),)


def untrained_control(bank: SampleBank, generator: LatentGenerator, *, num_blocks: int, has_image: bool) -> MapsOf:
    """What an untrained generator computes from the same latents; with `has_image` beside the annotated image's colours, as ours has them."""

    def maps_of(name: str) -> Sequence[Tensor]:
        index = bank.by_name(name).index
        _, maps = generator.render_taps(torch.from_numpy(bank.latent(index)).unsqueeze(0), num_blocks=num_blocks)
        colours = (image_map(bank.image(index)),) if has_image else ()
        return (*(m[0] for m in maps), *colours)

    return maps_of


def fit_control(maps_of: MapsOf, annotated: AnnotationSet, config: ClassifierConfig, *, seed: int) -> Callable[[str], np.ndarray]:
    """Masks by name, from a classifier fitted like ours on other maps of the same training images."""
    return fitting(maps_of, annotated, config, seed=seed)(annotated.split["train"], annotated.split["validate"])


def fitting(
    maps_of: MapsOf, annotated: AnnotationSet, config: ClassifierConfig, *, seed: int
) -> Callable[[Sequence[str], Sequence[str]], Callable[[str], np.ndarray]]:
    """From names of training and of validation images to masks by name: a classifier fitted like ours on their maps."""
    size = annotated.resolution

    def fit(train: Sequence[str], validate: Sequence[str]) -> Callable[[str], np.ndarray]:
        ensemble = fit_on(maps_of, annotated, config, train=train, validate=validate, seed=seed)
        return lambda name: ensemble.predict(maps_of(name), size=size).mask

    return fit


def fit_on(
    maps_of: MapsOf, truth: Truth, config: ClassifierConfig, *, train: Sequence[str], validate: Sequence[str], seed: int
) -> Ensemble:
    """The ensemble fitted on the images called `train`, its epochs chosen on those called `validate`; to be used here, not to be stored."""
    images, held_out = (MappedImages(maps_of, truth, names) for names in (train, validate))
    taps = [TapSpec(f"map{i}", len(m), m.shape[-1]) for i, m in enumerate(images[0][0])]
    facts: dict[str, Any] = {"num_blocks": 0, "generator_hash": "", "annotator": ""}
    return fit_ensemble(images, held_out, config, classes=truth.classes, taps=taps, facts=facts, seed=seed)[0]


class MappedImages(LazyImages):
    """Maps and masks of the images called `names`, made when they are asked for.

    Maps are kept up to 2 GiB in all: those of a filter bank at 4096 px have as much for a single image, and are rather made again.
    """

    def __init__(self, maps_of: MapsOf, truth: Truth, names: Sequence[str]) -> None:
        self._maps_of, self._truth, self._names = maps_of, truth, names
        self._held: dict[str, Sequence[Tensor]] = {}
        self._held_bytes = 0

    def __len__(self) -> int:
        """How many there are."""
        return len(self._names)

    @overload
    def __getitem__(self, index: int) -> Image: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Image]: ...
    def __getitem__(self, index: int | slice) -> Image | Sequence[Image]:
        """Maps `[C, S, S]` and mask `[H, W]` of one image; a slice is as lazy as the whole."""
        if isinstance(index, slice):
            return MappedImages(self._maps_of, self._truth, self._names[index])
        return self._maps(self._names[index]), self.mask(index)

    def mask(self, index: int) -> np.ndarray:
        """See `LazyImages.mask`."""
        return self._truth.mask(self._names[index])

    def _maps(self, name: str) -> Sequence[Tensor]:
        if name in self._held:
            return self._held[name]
        maps = self._maps_of(name)
        num_bytes = sum(m.numel() * m.element_size() for m in maps)
        if self._held_bytes + num_bytes <= _HELD_BYTES:
            self._held[name] = maps
            self._held_bytes += num_bytes
        return maps


def image_control(predict: Predictor, bank: SampleBank) -> Callable[[str], np.ndarray]:
    """Masks by name, from a predictor of images."""
    return lambda name: predict(bank.image(bank.by_name(name).index))


def in_order(predictors: Iterable[str]) -> list[str]:
    """Names with ours first, then the known controls, then others."""
    return sorted(predictors, key=lambda name: ([*TITLES, name].index(name), name))
