from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hdgan.classifier import factored
from hdgan.classifier.factored import fold, probabilities, probabilities_reference
from hdgan.classifier.mlp import PixelMlp
from hdgan.features.moments import Standardiser

TAPS = [(6, 4), (5, 8), (5, 8), (3, 16), (2, 32)]
NUM_CHANNELS = sum(channels for channels, _ in TAPS)


def trained_like(seed: int, num_members: int) -> tuple[list[PixelMlp], Standardiser, list[torch.Tensor]]:
    """Members whose every parameter and running statistic is something other than its initial value."""
    torch.manual_seed(seed)
    members = [PixelMlp(NUM_CHANNELS, 4, hidden=(12, 6), dropout=0.3) for _ in range(num_members)]
    for member in members:
        for norm in member.norms:
            torch.nn.init.uniform_(norm.weight, 0.3, 2.0)
            torch.nn.init.normal_(norm.bias)
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.2, 3.0)
    standardiser = Standardiser(torch.randn(NUM_CHANNELS), torch.rand(NUM_CHANNELS) * 3 + 0.1)
    return members, standardiser, [torch.randn(channels, edge, edge) * 2 for channels, edge in TAPS]


@given(st.integers(0, 10_000), st.integers(1, 4), st.sampled_from([32, 64]), st.sampled_from([1, 5_000, 10**8]))
@settings(max_examples=20, deadline=None)
def test_the_factored_prediction_equals_the_plain_one_whatever_the_bands(seed, num_members, size, band_values):
    members, standardiser, maps = trained_like(seed, num_members)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(factored, "_BAND_VALUES", band_values)
        with torch.no_grad():
            bands = list(probabilities(fold(members, standardiser), maps, size=size))
    assert [first for first, _ in bands] == [sum(b.shape[2] for _, b in bands[:i]) for i in range(len(bands))]
    ours = torch.cat([band for _, band in bands], dim=2)
    plain = probabilities_reference(members, standardiser, maps, size=size)
    assert ours.shape == plain.shape == (num_members, 4, size, size)
    torch.testing.assert_close(ours, plain, rtol=0, atol=2e-5)


def test_a_wrong_running_mean_would_be_noticed():
    members, standardiser, maps = trained_like(0, 1)
    folded = fold(members, standardiser)
    members[0].norms[0].running_mean += 1.0
    with torch.no_grad():
        ours = torch.cat([band for _, band in probabilities(folded, maps, size=32)], dim=2)
    assert (ours - probabilities_reference(members, standardiser, maps, size=32)).abs().max() > 1e-2
