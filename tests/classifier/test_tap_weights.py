"""Maps that count by their number, alike, or by their edge."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hdgan.classifier.tap_weights import weighted
from hdgan.features.moments import Standardiser
from hdgan.generator.spec import TapSpec

TAPS = st.lists(st.builds(TapSpec, st.just("tap"), st.integers(1, 40), st.sampled_from([4, 8, 64, 4096])), min_size=1, max_size=6)


def sums(taps, by):
    """The variance of all channels of each map after standardisation."""
    num = sum(tap.channels for tap in taps)
    spread = torch.rand(num, generator=torch.Generator().manual_seed(0)) + 0.5
    found = weighted(Standardiser(torch.zeros(num), spread), taps, by=by)
    variance = (spread.double() / found.std.double()).square()
    return [float(part.sum()) for part in torch.split(variance, [tap.channels for tap in taps])]


@given(TAPS)
def test_the_variance_of_all_channels_stays_their_number(taps):
    for by in ("channels", "maps", "fine"):
        assert sum(sums(taps, by)) == pytest.approx(sum(tap.channels for tap in taps), rel=1e-5)


@given(TAPS)
def test_maps_count_by_channels_alike_or_by_their_edge(taps):
    by_channels, alike, by_edge = (sums(taps, by) for by in ("channels", "maps", "fine"))
    assert by_channels == pytest.approx([tap.channels for tap in taps], rel=1e-5)
    assert alike == pytest.approx([alike[0]] * len(taps), rel=1e-5)
    assert [each / by_edge[0] for each in by_edge] == pytest.approx([tap.resolution / taps[0].resolution for tap in taps], rel=1e-5)


@given(st.integers(1, 40))
def test_of_a_single_map_nothing_changes(channels):
    standardiser = Standardiser(torch.randn(channels), torch.rand(channels) + 0.1)
    for by in ("channels", "maps", "fine"):
        found = weighted(standardiser, [TapSpec("image", channels, 64)], by=by)
        assert torch.equal(found.mean, standardiser.mean)
        assert torch.allclose(found.std, standardiser.std, rtol=1e-6)
