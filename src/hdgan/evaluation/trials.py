"""The trials of an ablation that need nothing but generator, samples, annotations and features of a run."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
from torch import Tensor

from hdgan.annotations.reader import AnnotationSet
from hdgan.classifier.config import ClassifierConfig, TapWeights
from hdgan.classifier.ensemble import Ensemble
from hdgan.classifier.presets import PRESETS
from hdgan.errors import Diverged
from hdgan.evaluation.ablation import Fitted, Trial, seed_of
from hdgan.evaluation.controls import (
    MapsOf,
    constant_control,
    filter_control,
    fit_control,
    fit_on,
    untrained_control,
)
from hdgan.evaluation.counts import Truth, count
from hdgan.features.bank import FeatureBank
from hdgan.features.colour import has_image
from hdgan.features.redraw import draw_checked
from hdgan.generator.protocol import LatentGenerator
from hdgan.measures.scores import score
from hdgan.randomness import stream
from hdgan.refinement.config import RefinementConfig
from hdgan.refinement.refine import refine
from hdgan.store.bank import SampleBank

NUM_IMAGES = (1, 2, 4, 8, 16)
NUM_HEADS = (1, 2, 3, 5, 10)
STEPS: Mapping[str, tuple[float, ...]] = {"sgd": (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 3.0, 10.0, 30.0), "adam": (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)}
"""Steps that are tried for a preset, by its optimiser: what a source states belongs to its own features and batch."""
DROPOUTS = (0.0, 0.1, 0.3, 0.5, 0.7)
CLEANUPS: Mapping[str, RefinementConfig] = {
    "off": RefinementConfig(radius_px=0),
    "guided-1px": RefinementConfig(radius_px=1, epsilon=1e-3),
    "guided-2px": RefinementConfig(radius_px=2, epsilon=1e-3),
    "guided-4px": RefinementConfig(radius_px=4, epsilon=1e-3),
    "objects-4px": RefinementConfig(radius_px=0, smallest_object_px=4),
    "objects-16px": RefinementConfig(radius_px=0, smallest_object_px=16),
    "both": RefinementConfig(radius_px=1, epsilon=1e-3, smallest_object_px=4),
}


@dataclass(frozen=True)
class Subject:
    """What the trials are made on."""

    generator: LatentGenerator
    untrained: Callable[[], LatentGenerator]
    """A generator of the same shape with initial weights."""
    bank: SampleBank
    annotated: AnnotationSet
    features: FeatureBank
    settings: ClassifierConfig
    seed: int

    def fit(
        self,
        maps_of: MapsOf,
        settings: ClassifierConfig,
        *,
        seed: int,
        train: Sequence[str] | None = None,
        truth: Truth | None = None,
    ) -> Ensemble:
        """An ensemble on the training images, or on those called `train`; epochs are chosen on the validation images as always.

        `truth` gives the masks, where they are not the run's own.
        """
        split = self.annotated.split
        return fit_on(maps_of, truth or self.annotated, settings, train=train or split["train"], validate=split["validate"], seed=seed)

    def fitted(self, ensemble: Ensemble, maps_of: MapsOf) -> Fitted:
        """Its masks."""
        size = self.annotated.resolution
        return Fitted(lambda name: ensemble.predict(maps_of(name), size=size).mask, self.annotated)


Trials = Callable[[Subject, int], Iterator[Trial]]
"""From the subject and the number of repetitions."""


def blocks(subject: Subject, repeats: int) -> Iterator[Trial]:
    """The last k blocks, for every k."""
    maps_of = BlockMaps(subject)
    for k in range(1, maps_of.num_blocks + 1):
        for repeat in range(repeats):

            def fit(k: int = k, repeat: int = repeat) -> Fitted:
                mine = functools.partial(maps_of, num_blocks=k)
                return subject.fitted(subject.fit(mine, subject.settings, seed=seed_of(subject.seed, repeat)), mine)

            yield Trial("blocks", str(k), repeat, fit)


def images(subject: Subject, repeats: int) -> Iterator[Trial]:
    """Fewer annotated images: of each repetition the first n of its own order, so that more images hold the fewer ones."""
    train = subject.annotated.split["train"]
    for num in sorted({min(num, len(train)) for num in NUM_IMAGES}):
        for repeat in range(repeats):

            def fit(num: int = num, repeat: int = repeat) -> Fitted:
                order = stream(subject.seed, "ablation.images", repeat).permutation(len(train))[:num]
                chosen = sorted(train[i] for i in order)
                maps_of = subject.features.maps
                return subject.fitted(subject.fit(maps_of, subject.settings, seed=seed_of(subject.seed, repeat), train=chosen), maps_of)

            yield Trial("images", str(num), repeat, fit)


def heads(subject: Subject, repeats: int) -> Iterator[Trial]:
    """Fewer or more members; the first n of the same ten, since a member does not know of those after it."""

    @functools.lru_cache(maxsize=1)
    def all_heads(repeat: int) -> Ensemble:
        settings = subject.settings.model_copy(update={"members": max(NUM_HEADS)})
        return subject.fit(subject.features.maps, settings, seed=seed_of(subject.seed, repeat))

    for repeat in range(repeats):
        for num in NUM_HEADS:

            def fit(num: int = num, repeat: int = repeat) -> Fitted:
                return subject.fitted(first_members(all_heads(repeat), num), subject.features.maps)

            yield Trial("heads", str(num), repeat, fit)


def dropout(subject: Subject, repeats: int) -> Iterator[Trial]:
    """Other shares of hidden values dropped in training."""
    for share in DROPOUTS:
        yield from _with_settings(subject, repeats, "dropout", f"{share:g}", subject.settings.model_copy(update={"dropout": share}))


def head(subject: Subject, repeats: int) -> Iterator[Trial]:
    """The network of the settings, and a linear head."""
    yield from _with_settings(subject, repeats, "head", "mlp", subject.settings)
    yield from _with_settings(subject, repeats, "head", "linear", linear_settings(subject.settings))


def taps(subject: Subject, repeats: int) -> Iterator[Trial]:
    """Maps that count by the number of their channels, alike, or by their edge."""
    for by in get_args(TapWeights):
        yield from _with_settings(subject, repeats, "taps", by, subject.settings.model_copy(update={"tap_weights": by}))


def presets(subject: Subject, repeats: int) -> Iterator[Trial]:
    """The named presets, each with its own schedule and number of members, and the step that the validation images are labelled best with."""
    for name in PRESETS:
        config = ClassifierConfig(preset=name)
        step_of = functools.lru_cache(functools.partial(_best_step, subject, config))
        for repeat in range(repeats):

            def fit(config: ClassifierConfig = config, repeat: int = repeat, step_of: Callable[[], float] = step_of) -> Fitted:
                maps_of, step = subject.features.maps, step_of()
                fitted = subject.fit(maps_of, config.model_copy(update={"lr": step}), seed=seed_of(subject.seed, repeat))
                return dataclasses.replace(subject.fitted(fitted, maps_of), step=step)

            yield Trial("presets", name, repeat, fit)


def _best_step(subject: Subject, config: ClassifierConfig) -> float:
    """Of several, the step whose one member has the best macro Dice on the validation images; its source's own is among them."""

    def merit(step: float) -> float:
        try:
            tried = subject.fit(subject.features.maps, config.model_copy(update={"lr": step, "members": 1}), seed=subject.seed)
        except Diverged:  # too large a step to train by at all
            return 0.0
        counts = count(
            subject.fitted(tried, subject.features.maps).predict, subject.annotated, subject.annotated.split["validate"], distance_px=1
        )
        return score(counts.matrices.sum(axis=0)).macro_dice

    merits = {step: merit(step) for step in sorted({*STEPS[config.optimiser], config.lr})}
    return max(merits, key=lambda step: (merits[step], -step))


def controls(subject: Subject, repeats: int) -> Iterator[Trial]:
    """Ours, the same classifier on other features, and no look at the image at all."""
    yield from _with_settings(subject, repeats, "controls", "hdgan", subject.settings)
    makers: Mapping[str, Callable[[], MapsOf]] = {
        "filters": lambda: filter_control(subject.bank),
        "untrained": lambda: untrained_control(
            subject.bank,
            subject.untrained(),
            num_blocks=subject.features.num_blocks,
            has_image=has_image(subject.features.taps),
        ),
    }
    for name, make in makers.items():
        for repeat in range(repeats):

            def fit(make: Callable[[], MapsOf] = make, repeat: int = repeat) -> Fitted:
                seed = seed_of(subject.seed, repeat)
                return Fitted(fit_control(make(), subject.annotated, subject.settings, seed=seed), subject.annotated)

            yield Trial("controls", name, repeat, fit)
    yield Trial("controls", "constant", 0, lambda: Fitted(constant_control(subject.annotated), subject.annotated))


def cleanup(subject: Subject, repeats: int) -> Iterator[Trial]:
    """One ensemble, its contours cleaned up in several ways."""
    size, maps_of, bank = subject.annotated.resolution, subject.features.maps, subject.bank

    @functools.lru_cache(maxsize=1)
    def ensemble_of(repeat: int) -> Ensemble:
        return subject.fit(maps_of, subject.settings, seed=seed_of(subject.seed, repeat))

    for repeat in range(repeats):
        for value, settings in CLEANUPS.items():

            def fit(settings: RefinementConfig = settings, repeat: int = repeat) -> Fitted:
                ensemble = ensemble_of(repeat)

                def predict(name: str) -> np.ndarray:
                    found = ensemble.predict(maps_of(name), size=size, with_chances=True)
                    assert found.chances is not None, "asked for"
                    return refine(found.chances, bank.image(bank.by_name(name).index), settings, classes=subject.annotated.classes)

                return Fitted(predict, subject.annotated)

            yield Trial("cleanup", value, repeat, fit)


TRIALS: Mapping[str, Trials] = {
    "blocks": blocks,
    "images": images,
    "heads": heads,
    "dropout": dropout,
    "head": head,
    "taps": taps,
    "presets": presets,
    "cleanup": cleanup,
    "controls": controls,
}


class BlockMaps:
    """Maps of the last k blocks, from the stored features as far as they reach; coarser ones are drawn again as those were, and kept, being small."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._stored = {tap.name for tap in subject.features.taps}
        self._extra = [tap.name for tap in subject.features.taps if has_image([tap])]
        self.num_blocks = num_blocks_of(subject.generator)
        self._coarse: dict[str, dict[str, Tensor]] = {}

    def __call__(self, name: str, *, num_blocks: int) -> tuple[Tensor, ...]:
        """The maps `[C, S, S]` of the image called `name`, coarse to fine, the image itself last where it is a feature.

        Raises:
            BadInput: it is no longer what its latent gives.
        """
        features = self._subject.features
        known = dict(zip((tap.name for tap in features.taps), features.maps(name), strict=True))
        wanted = [tap.name for tap in self._subject.generator.taps(num_blocks)]
        if not self._stored.issuperset(wanted):
            known = {**known, **self._drawn(name)}
        return tuple(known[tap] for tap in [*wanted, *self._extra])

    def _drawn(self, name: str) -> dict[str, Tensor]:
        if name not in self._coarse:
            generator, features = self._subject.generator, self._subject.features
            annotated, dtype = features.images[name].image_hash, features.facts.dtype
            _, maps = draw_checked(generator, self._subject.bank, name, annotated_hash=annotated, num_blocks=self.num_blocks, dtype=dtype)
            taps = generator.taps(self.num_blocks)
            self._coarse[name] = {tap.name: m.clone() for tap, m in zip(taps, maps, strict=True) if tap.name not in self._stored}
        return self._coarse[name]


def num_blocks_of(generator: LatentGenerator) -> int:
    """Blocks of a generator: one for each resolution from 4 px on."""
    return int(np.log2(generator.resolution)) - 1


def first_members(ensemble: Ensemble, num: int) -> Ensemble:
    """The ensemble of its first `num` members."""
    return Ensemble(
        ensemble.members[:num],
        standardiser=ensemble.standardiser,
        classes=ensemble.classes,
        taps=ensemble.taps,
        facts=ensemble.facts,
    )


def linear_settings(settings: ClassifierConfig) -> ClassifierConfig:
    """The settings without a hidden layer, and so without dropout."""
    return ClassifierConfig.model_validate(settings.model_dump() | {"hidden": (), "dropout": 0.0})


def _with_settings(subject: Subject, repeats: int, what: str, value: str, settings: ClassifierConfig) -> Iterator[Trial]:
    for repeat in range(repeats):

        def fit(repeat: int = repeat) -> Fitted:
            maps_of = subject.features.maps
            return subject.fitted(subject.fit(maps_of, settings, seed=seed_of(subject.seed, repeat)), maps_of)

        yield Trial(what, value, repeat, fit)
