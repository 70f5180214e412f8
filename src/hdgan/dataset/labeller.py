"""What draws the pairs: a generator and the ensemble that was fitted on its features, together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from hdgan.classifier.ensemble import FILE as ENSEMBLE_FILE
from hdgan.classifier.ensemble import Ensemble, label_image
from hdgan.dataset.candidates import Labelled
from hdgan.dataset.card import Origin
from hdgan.errors import BadInput
from hdgan.generator.protocol import LatentGenerator
from hdgan.generator.weights import FILE as GENERATOR_FILE
from hdgan.generator.weights import load_generator
from hdgan.refinement.config import RefinementConfig
from hdgan.refinement.refine import refine
from hdgan.store.hashing import hash_file


class ClassifierLabeller:
    """Implements `Labeller`: z to w by the generator's mapping and the truncation, image and features in one rendering, labels by the ensemble,
    their contours cleaned up where `refinement` says how.
    """

    def __init__(self, generator: LatentGenerator, ensemble: Ensemble, *, psi: float, refinement: RefinementConfig | None = None) -> None:
        """Joins the two.

        Raises:
            BadConfig: the refinement names a class that there is not.
            BadInput: the ensemble learnt another generator's features.
        """
        if ensemble.facts["generator_hash"] != generator.content_hash:
            raise BadInput("classifier", "was fitted on the features of another generator", "extract features and fit it again")
        self.generator = generator
        self.ensemble = ensemble
        if refinement is not None:
            refinement.check(ensemble.classes)
        self.psi = psi
        self.refinement = refinement
        self.classes = ensemble.classes
        self.z_dim = generator.z_dim
        self.mpp = generator.mpp

    def __call__(self, z: np.ndarray) -> Labelled:
        """The labelled image of z, float32 `[z_dim]`."""
        with torch.no_grad():
            w = self.generator.map(torch.from_numpy(z)[None], psi=self.psi)
            image, prediction = label_image(self.ensemble, self.generator, w, with_chances=self.refinement is not None)
        mask = prediction.mask
        if self.refinement is not None:
            assert prediction.chances is not None, "asked for above"
            mask = refine(prediction.chances, image, self.refinement, classes=self.classes)
        return Labelled(w[0].float().cpu().numpy(), image, mask, prediction.uncertainty)


def load_labeller(
    generator: Path,
    classifier: Path,
    *,
    psi: float,
    condition: str | None = None,
    refinement: RefinementConfig | None = None,
    device: str = "cpu",
) -> tuple[ClassifierLabeller, Origin]:
    """The labeller of two finished stage folders, and what the card says of them.

    Raises:
        BadConfig: the generator knows no such condition, or the refinement names a class that there is not.
        BadInput: they do not belong together.
        DamagedArtifact: weights are missing or altered.
    """
    drawn_by = load_generator(generator / GENERATOR_FILE, device=device).asked_for(condition)
    ensemble = Ensemble.load(classifier / ENSEMBLE_FILE)
    origin = Origin(
        generator=drawn_by.content_hash,
        classifier=hash_file(classifier / ENSEMBLE_FILE),
        annotator=ensemble.annotator,
        num_heads=len(ensemble.members),
    )
    return ClassifierLabeller(drawn_by, ensemble, psi=psi, refinement=refinement), origin
