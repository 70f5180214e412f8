"""What our ensemble says of the held-out images, measured one after the other: counts are kept, and the pictures that the report shows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hdgan.annotations.reader import AnnotationSet
from hdgan.annotations.split import Part
from hdgan.classifier.ensemble import Ensemble, Prediction
from hdgan.evaluation.config import EvaluationConfig
from hdgan.evaluation.counts import Counts, count
from hdgan.features.bank import FeatureBank
from hdgan.measures.calibration import Reliability, reliability_of
from hdgan.measures.certainty import Certainty, certainty_of
from hdgan.measures.scores import score
from hdgan.plots.panels import Panel, thinned
from hdgan.progress import Progress, track
from hdgan.refinement.refine import refine
from hdgan.store.bank import SampleBank

_MOST_CERTAIN = 0.9


@dataclass
class HeldOut:
    """One part of the split, as far as it has been measured."""

    num_panels: int
    """Images whose pictures are kept, the worst ones."""
    before: list[Counts] = field(default_factory=list)
    """Of the masks as they are, an entry for each image."""
    after: list[Counts] = field(default_factory=list)
    """The same after the clean-up of contours."""
    certainty: Certainty | None = None
    reliability: Reliability | None = None
    image_uncertainty: dict[str, float] = field(default_factory=dict)
    """Of each image, nats."""
    _shown: list[tuple[float, str, Panel]] = field(default_factory=list)

    @property
    def counts(self) -> Counts:
        """Of the masks as they are."""
        return Counts.joined(self.before)

    @property
    def cleaned(self) -> Counts:
        """After the clean-up of contours."""
        return Counts.joined(self.after)

    @property
    def panels(self) -> list[Panel]:
        """The worst images, in the order of `compare.worst_first`."""
        return [panel for _, _, panel in self._shown]

    def sureness(self) -> dict[str, Any]:
        """Whether the ensemble knows where it is wrong, how often its probabilities are right, and how unsure each image is; as plain data."""
        assert self.certainty is not None, "no image was measured"
        assert self.reliability is not None, "no image was measured"
        certainty = {
            "auroc": self.certainty.auroc,
            "accuracy_of_all": self.certainty.accuracy,
            "accuracy_of_most_certain_90_percent": self.certainty.accuracy_of_most_certain(_MOST_CERTAIN),
        }
        return {"certainty": certainty, "reliability": self.reliability.to_json(), "image_uncertainty": self.image_uncertainty}

    def note(self, name: str, found: Prediction, *, before: Counts, after: Counts, truth: np.ndarray, image: np.ndarray) -> None:
        """Adds one image."""
        self.before.append(before)
        self.after.append(after)
        certainty, reliability = certainty_of(found.mask, found.uncertainty, truth), reliability_of(found.confidence, found.mask, truth)
        self.certainty = certainty if self.certainty is None else self.certainty + certainty
        self.reliability = reliability if self.reliability is None else self.reliability + reliability
        self.image_uncertainty[name] = found.score
        dice = score(before.matrices[0]).macro_dice
        panel = thinned(Panel(image, found.mask, truth, found.uncertainty, name))
        row = (2.0 if math.isnan(dice) else dice, name, panel)
        self._shown = sorted([*self._shown, row], key=lambda shown: shown[:2])[: self.num_panels]


def measure_held_out(
    ensemble: Ensemble,
    parts: Mapping[Part, Sequence[str]],
    config: EvaluationConfig,
    annotated: AnnotationSet,
    bank: SampleBank,
    maps: FeatureBank,
    *,
    progress: Progress,
) -> dict[Part, HeldOut]:
    """The images of each part, measured; masks, probabilities and uncertainty are in memory for one image at a time. Panels are of the test part."""
    held_out = {part: HeldOut(config.panels if part == "test" else 0) for part in parts}
    pairs = [(part, name) for part, names in parts.items() for name in names]
    distance_px = config.band_px(annotated.resolution)
    for part, name in track(pairs, total=len(pairs), label="labelling held-out images", progress=progress):
        found = ensemble.predict(maps.maps(name), size=annotated.resolution, with_chances=True)
        assert found.chances is not None, "asked for"
        image = bank.image(bank.by_name(name).index)
        refined = refine(found.chances, image, config.refinement, classes=annotated.classes)
        before, after = (count({name: mask}.__getitem__, annotated, [name], distance_px=distance_px) for mask in (found.mask, refined))
        held_out[part].note(name, found, before=before, after=after, truth=annotated.mask(name), image=image)
    return held_out
