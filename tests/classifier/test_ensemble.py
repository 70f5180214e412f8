from __future__ import annotations

import numpy as np
import pytest
import torch

from hdgan.classifier.ensemble import Ensemble, label_image
from hdgan.classifier.mlp import PixelMlp
from hdgan.features.colour import WithImage
from hdgan.features.moments import Standardiser
from hdgan.generator.networks import Generator
from hdgan.generator.ops import bands
from hdgan.generator.spec import NetworkSpec
from hdgan.generator.weights import TrainedGenerator
from hdgan.labels import ClassMap, LabelClass

CLASSES = ClassMap((LabelClass("dark", "#202020"), LabelClass("bright", "#f0e0a0")))


@pytest.fixture
def generator():
    torch.manual_seed(3)
    return TrainedGenerator(Generator(NetworkSpec(resolution=64, z_dim=8, w_dim=8, channel_base=512, channel_max=16)), mpp=None)


def ensemble_of(generator, w, *, with_image):
    """Members wide enough that they tell places apart."""
    tapped = WithImage(generator) if with_image else generator
    maps = [m[0].flatten(1) for m in tapped.render_taps(w, num_blocks=3)[1]]
    standardiser = Standardiser(torch.cat([m.mean(dim=1) for m in maps]), torch.cat([m.std(dim=1) for m in maps]))
    num = len(standardiser.mean)
    facts = {"num_blocks": 3, "generator_hash": generator.content_hash, "resolution": 64}
    members = [PixelMlp(num, 2, hidden=(9, 5), dropout=0.1) for _ in range(3)]
    for linear in (linear for member in members for linear in member.linears):
        torch.nn.init.kaiming_normal_(linear.weight)
        torch.nn.init.zeros_(linear.bias)
    return Ensemble(members, standardiser=standardiser, classes=CLASSES, taps=tapped.taps(3), facts=facts)


@pytest.mark.parametrize("with_image", [False, True])
def test_an_image_labelled_as_its_rows_are_drawn_is_the_one_labelled_at_once(generator, monkeypatch, with_image):
    w = generator.map(torch.randn(1, 8), psi=1.0)
    ensemble = ensemble_of(generator, w, with_image=with_image)
    image, expected = label_image(ensemble, generator, w, with_chances=True)
    assert np.array_equal(image, label_image(ensemble, generator, w)[0])
    held = []
    begin = generator.begin
    monkeypatch.setattr(generator, "begin", lambda *given, **named: held.append(begin(*given, **named)) or held[-1])
    monkeypatch.setattr(bands, "_LARGE_VALUES", 64 * 64)
    rows, found = label_image(ensemble, generator, w, with_chances=True)
    assert len(held[0].maps) == 5  # so the last layer was not among them
    assert np.abs(rows.astype(int) - image).max() <= 1
    assert (rows == image).mean() > 0.999
    np.testing.assert_allclose(found.chances, expected.chances, atol=1e-4)
    np.testing.assert_allclose(found.uncertainty, expected.uncertainty, atol=1e-4)
    assert (found.mask == expected.mask).mean() > 0.999
    assert len(np.unique(found.mask)) == 2
