"""Pixel labels from a generator that was trained for less long: the paper blames its noisy contours on a badly trained backbone.

Another snapshot draws other images of the same latents, and nobody annotated those: an oracle labels them, for training and for measuring alike. So the
numbers say how far a classifier follows the oracle on the images of each snapshot, beside how far these images are from real ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache, partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hdgan.downstream.segmenter import FILE as SEGMENTER_FILE
from hdgan.downstream.segmenter import Segmenter, load_segmenter
from hdgan.errors import BadInput
from hdgan.evaluation.ablation import Fitted, Trial, seed_of
from hdgan.evaluation.trials import Subject
from hdgan.features.colour import tapping
from hdgan.generator.protocol import LatentGenerator, to_uint8
from hdgan.generator.train import STATE
from hdgan.generator.weights import FILE, TrainedGenerator, load_generator, load_snapshot
from hdgan.labels import ClassMap
from hdgan.pipeline.quality import yardstick_of
from hdgan.pipeline.steps import ORACLE, Run
from hdgan.store.arrays import open_array
from hdgan.store.bank import SampleBank

_QUALITY_IMAGES = 256


class Snapshot:
    """The annotated latents as a snapshot draws them: maps, and the oracle's masks. Implements `Truth`."""

    def __init__(self, generator: TrainedGenerator, subject: Subject, segmenter: Segmenter) -> None:
        self.generator = generator
        self.classes: ClassMap = subject.annotated.classes
        self._drawn: LatentGenerator = tapping(generator, subject.features.taps)
        self._num_blocks = subject.features.num_blocks
        self._bank: SampleBank = subject.bank
        self._segmenter = segmenter
        self._z = open_array(subject.bank.folder / "z.npy")
        self._masks: dict[str, NDArray[np.uint8]] = {}

    def maps(self, name: str) -> tuple[Tensor, ...]:
        """The maps `[C, S, S]` of the image called `name`."""
        return self._render(name)[1]

    def mask(self, name: str) -> NDArray[np.uint8]:
        """The oracle's mask uint8 `[H, W]`."""
        if name not in self._masks:
            self._masks[name] = self._segmenter.predict(self._render(name)[0])
        return self._masks[name]

    def blend(self, name: str) -> NDArray[np.bool_]:
        """Nowhere: the oracle marks none."""
        return np.zeros(self.mask(name).shape, dtype=np.bool_)

    def _render(self, name: str) -> tuple[NDArray[np.uint8], tuple[Tensor, ...]]:
        row = self._bank.by_name(name)
        z = torch.from_numpy(np.array(self._z[row.index : row.index + 1], dtype=np.float32))
        with torch.no_grad():
            w = self.generator.asked_for(row.condition).map(z, psi=row.psi)
            image, maps = self._drawn.render_taps(w, num_blocks=self._num_blocks)
        return to_uint8(image)[0], tuple(m[0] for m in maps)


def snapshots(run: Run, subject: Subject, repeats: int) -> Iterator[Trial]:
    """A trial for each state or average that the training kept and for its end, by the images seen.

    Raises:
        BadInput: the run has no oracle.
    """
    oracle = run.beside(ORACLE) / SEGMENTER_FILE
    if not oracle.exists():
        remedy = "nobody annotated the images of other snapshots: only a run with a section [oracle] can compare them"
        raise BadInput(run.folder.root, "has no oracle", remedy)
    segmenter, known = load_segmenter(oracle), known_snapshots(run)

    @lru_cache(maxsize=1)
    def measure() -> Callable[[TrainedGenerator], float]:
        return yardstick_of(run.folder.root, num=_QUALITY_IMAGES)

    @lru_cache(maxsize=1)
    def drawn(images: int) -> tuple[Snapshot, float]:
        generator = known[images]()
        return Snapshot(generator, subject, segmenter), measure()(generator)

    for images in sorted(known):
        for repeat in range(repeats):

            def fit(images: int = images, repeat: int = repeat) -> Fitted:
                snapshot, quality = drawn(images)
                seed = seed_of(subject.seed, repeat)
                ensemble = subject.fit(snapshot.maps, subject.settings, seed=seed, truth=snapshot)
                size = subject.annotated.resolution
                return Fitted(lambda name: ensemble.predict(snapshot.maps(name), size=size).mask, snapshot, quality)

            yield Trial("snapshots", str(images), repeat, fit)


def known_snapshots(run: Run) -> dict[int, Callable[[], TrainedGenerator]]:
    """What loads the generator as it was, by the images that it had seen: the run's weights, and each state or average that is still there."""
    weights = run.stage("generator") / FILE
    last = load_generator(weights)
    known: dict[int, Callable[[], TrainedGenerator]] = {}
    for path in sorted((run.stage("generator") / STATE).glob("*.safetensors")):
        known[int(path.stem.split("-")[-1])] = partial(load_snapshot, path, like=weights)
    known[int(last.facts.get("images", max(known, default=0)))] = lambda: last
    return known
