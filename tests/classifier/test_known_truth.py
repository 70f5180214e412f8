"""The classifier against exact masks: an analytic generator knows the truth of every image that it draws."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hdgan.classifier.config import ClassifierConfig
from hdgan.classifier.ensemble import label_image
from hdgan.classifier.stage import fit_ensemble
from hdgan.errors import BadInput
from hdgan.labels import KIDNEY
from hdgan.measures.confusion import confusion
from hdgan.measures.scores import score
from hdgan.testing.analytic import AnalyticGenerator

CONFIG = ClassifierConfig(members=2, epochs=10, batch_pixels=512, pixels_per_image=600)


def latents(generator, first, num):
    z = torch.stack([torch.randn(generator.z_dim, generator=torch.Generator().manual_seed(i)) for i in range(first, first + num)])
    return generator.map(z, psi=0.7)


def annotated(generator, first, num):
    found = []
    for w in latents(generator, first, num).split(1):
        _, maps = generator.render_taps(w, num_blocks=4)
        found.append(([m[0] for m in maps], generator.exact_mask(w)[0]))
    return found


def fit(generator):
    facts = {"num_blocks": 4, "generator_hash": generator.content_hash, "annotator": "exact truth"}
    train, validate = annotated(generator, 0, 16), annotated(generator, 16, 4)
    return fit_ensemble(train, validate, CONFIG, classes=KIDNEY, taps=generator.taps(4), facts=facts, seed=0)[0]


def scores_of(ensemble, generator):
    matrix = np.zeros((5, 5), dtype=np.int64)
    for w in latents(generator, 100, 16).split(1):
        _, prediction = label_image(ensemble, generator, w)
        matrix += confusion(generator.exact_mask(w)[0], prediction.mask, 5)
    return score(matrix)


def test_sixteen_exact_masks_are_enough_for_new_images_and_a_generator_that_knows_nothing_is_not():
    knowing = AnalyticGenerator(32)
    ensemble = fit(knowing)
    scores = scores_of(ensemble, knowing)
    assert scores.macro_dice > 0.85
    assert scores.pixel_accuracy > 0.9
    blank = AnalyticGenerator(32, signal=0.0)
    assert scores_of(fit(blank), blank).macro_dice < 0.5
    with pytest.raises(BadInput, match="another generator"):
        label_image(ensemble, blank, latents(blank, 0, 1))
