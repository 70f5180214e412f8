from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar

from hdgan.classifier.calibration import calibrated_temperature, cross_entropy, fit_temperature
from hdgan.classifier.mlp import PixelMlp
from hdgan.features.moments import Standardiser


def honest(num=4000, num_members=1) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits `[M, 3, P]`, all members alike, and classes drawn from their probabilities."""
    logits = 1.5 * torch.randn(3, num, generator=torch.Generator().manual_seed(0))
    draw = torch.rand(num, generator=torch.Generator().manual_seed(1))
    labels = (draw > logits.softmax(dim=0).cumsum(dim=0)).sum(dim=0).clamp(max=2)
    return logits.expand(num_members, -1, -1), labels


@pytest.mark.parametrize("factor", [0.3, 1.0, 4.0])
def test_the_temperature_undoes_a_factor_on_the_logits(factor):
    logits, labels = honest(num_members=2)
    assert fit_temperature(factor * logits, labels) == pytest.approx(factor, rel=0.08)


def test_it_is_the_least_cross_entropy_of_the_members_mean():
    first, labels = honest()
    logits = torch.cat([2 * first, 5 * first.flip(0) + 1.3])
    temperature = fit_temperature(logits, labels)
    mean = (logits / temperature).softmax(dim=1).mean(dim=0)
    plain = -mean.gather(0, labels.unsqueeze(0)).log().mean()
    assert cross_entropy(logits / temperature, labels) == pytest.approx(float(plain), rel=1e-5)
    best = minimize_scalar(lambda t: cross_entropy(logits / t, labels), bounds=(0.05, 20), method="bounded")
    assert temperature == pytest.approx(best.x, rel=0.02)


def test_without_validation_images_the_probabilities_stay():
    standardiser = Standardiser(torch.zeros(3), torch.ones(3))
    model = PixelMlp(3, 2, hidden=(), dropout=0.0)
    assert calibrated_temperature([model], [], standardiser=standardiser, seed=0) == 1.0
    maps = torch.randn(3, 32, 32, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        model.linears[0].weight.copy_(torch.tensor([[0.0, 0, 0], [40.0, 0, 0]]))
    noise = torch.randn(32, 32, generator=torch.Generator().manual_seed(3))
    mask = (maps[0] + noise > 0).numpy().astype(np.uint8)
    assert calibrated_temperature([model], [((maps,), mask)], standardiser=standardiser, seed=0) > 10
