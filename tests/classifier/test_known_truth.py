"""The classifier against exact masks: an analytic generator knows the truth of every image that it draws."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hdgan.classifier.config import ClassifierConfig
from hdgan.classifier.ensemble import label_image
from hdgan.classifier.stage import fit_ensemble
from hdgan.errors import BadInput
from hdgan.evaluation.filters import filter_maps
from hdgan.generator.protocol import TapSpec, to_uint8
from hdgan.labels import KIDNEY
from hdgan.measures.confusion import confusion
from hdgan.measures.scores import score
from hdgan.testing.analytic import AnalyticGenerator

CONFIG = ClassifierConfig(members=2, epochs=10, batch_pixels=512, pixels_per_image=600)


def latents(generator, first, num, psi=0.7):
    z = torch.stack([torch.randn(generator.z_dim, generator=torch.Generator().manual_seed(i)) for i in range(first, first + num)])
    return generator.map(z, psi=psi)


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


def hard(generator, first, num, *, filters):
    """Images, as maps of the generator or as colour and filter responses of the picture alone, and their exact masks."""
    found = []
    for w in latents(generator, first, num, psi=1.0).split(1):
        image, maps = generator.render_taps(w, num_blocks=5)
        found.append(([filter_maps(to_uint8(image)[0])] if filters else [m[0] for m in maps], generator.exact_mask(w)[0]))
    return found


def test_the_default_finds_a_class_of_three_in_a_thousand_pixels_where_the_picture_alone_does_not_tell():
    generator = AnalyticGenerator(64, has_rare_class=True, signal=0.6, contrast=0.3)
    found = {}
    for filters in (False, True):
        train, validate, test = (hard(generator, first, num, filters=filters) for first, num in ((0, 16), (16, 4), (100, 16)))
        taps = [TapSpec(f"map{i}", len(m), m.shape[-1]) for i, m in enumerate(train[0][0])]
        config = ClassifierConfig(members=2)
        ensemble, _ = fit_ensemble(train, validate, config, classes=KIDNEY, taps=taps, facts={"num_blocks": 0}, seed=0)
        found[filters] = score(sum(confusion(mask, ensemble.predict(maps, size=64).mask, 5) for maps, mask in test))
    assert found[False].pixel_accuracy >= 0.95
    assert found[False].macro_dice >= 0.90
    assert found[True].macro_dice <= found[False].macro_dice - 0.2
