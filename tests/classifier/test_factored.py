from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hdgan.classifier import factored
from hdgan.classifier.ensemble import agreement
from hdgan.classifier.factored import fold, logits, logits_reference, probabilities
from hdgan.classifier.mlp import PixelMlp
from hdgan.features.moments import Standardiser

TAPS = [(6, 4), (5, 8), (5, 8), (3, 16), (2, 32)]


def trained_like(seed: int, num_members: int, taps=TAPS) -> tuple[list[PixelMlp], Standardiser, list[torch.Tensor]]:
    """Members whose every parameter and running statistic is something other than its initial value."""
    torch.manual_seed(seed)
    num_channels = sum(channels for channels, _ in taps)
    members = [PixelMlp(num_channels, 4, hidden=(12, 6), dropout=0.3) for _ in range(num_members)]
    for member in members:
        for norm in member.norms:
            torch.nn.init.uniform_(norm.weight, 0.3, 2.0)
            torch.nn.init.normal_(norm.bias)
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.2, 3.0)
    standardiser = Standardiser(torch.randn(num_channels), torch.rand(num_channels) * 3 + 0.1)
    return members, standardiser, [torch.randn(channels, edge, edge) * 2 for channels, edge in taps]


def whole(members, standardiser, maps, size):
    """All strips together, after a check that they follow each other."""
    strips = list(logits(fold(members, standardiser), maps, size=size))
    assert [first for first, _ in strips] == [sum(b.shape[2] for _, b in strips[:i]) for i in range(len(strips))]
    return torch.cat([strip for _, strip in strips], dim=2)


def assert_equal_to_rounding(ours, plain):
    assert ours.shape == plain.shape
    assert (ours - plain).abs().max() <= 1e-5 * max(1.0, float(plain.abs().max()))


@given(
    st.integers(0, 10_000),
    st.integers(1, 4),
    st.sampled_from([32, 48, 64]),
    st.sampled_from([1, 3, 16, 64]),
    st.sampled_from([1, 1500, 10**8]),
    st.sampled_from([1, 4, 16]),
)
@settings(max_examples=30, deadline=None)
def test_the_factored_logits_are_the_plain_ones_however_the_image_is_cut(seed, num_members, size, strip, block, tile):
    members, standardiser, maps = trained_like(seed, num_members)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"_STRIP_ROWS": strip, "_BLOCK_VALUES": block, "_TILE_PX": tile}.items():
            patch.setattr(factored, name, value)
        ours = whole(members, standardiser, maps, size)
    assert_equal_to_rounding(ours, logits_reference(members, standardiser, maps, size=size))


@given(st.integers(0, 1000), st.lists(st.tuples(st.integers(1, 4), st.integers(1, 24)), min_size=1, max_size=4))
@settings(max_examples=30, deadline=None)
def test_maps_may_have_any_resolutions_in_any_order(seed, taps):
    members, standardiser, maps = trained_like(seed, 1, taps)
    assert_equal_to_rounding(whole(members, standardiser, maps, 24), logits_reference(members, standardiser, maps, size=24))


@pytest.mark.parametrize("taps", [[(3, 32)], [(3, 4)], [(2, 32), (3, 4), (2, 32), (1, 4)]], ids=["image size only", "coarse only", "mixed"])
def test_maps_of_one_size_only_are_enough(taps):
    members, standardiser, maps = trained_like(1, 2, taps)
    assert_equal_to_rounding(whole(members, standardiser, maps, 32), logits_reference(members, standardiser, maps, size=32))


def test_half_precision_maps_are_read_as_they_are():
    members, standardiser, maps = trained_like(2, 1)
    half = [m.half() for m in maps]
    assert_equal_to_rounding(
        whole(members, standardiser, half, 32), logits_reference(members, standardiser, [m.float() for m in half], size=32)
    )


def test_the_maps_are_left_as_they_were():
    members, standardiser, maps = trained_like(3, 2)
    before = [m.clone() for m in maps]
    first, second = whole(members, standardiser, maps, 32), whole(members, standardiser, maps, 32)
    assert torch.equal(first, second)
    assert all(torch.equal(a, b) for a, b in zip(maps, before, strict=True))


def test_probabilities_are_the_softmax_of_the_logits():
    members, standardiser, maps = trained_like(4, 2)
    chances = torch.cat([strip for _, strip in probabilities(fold(members, standardiser), maps, size=32)], dim=2)
    assert torch.equal(chances, whole(members, standardiser, maps, 32).softmax(dim=1))


def test_a_wrong_running_mean_would_be_noticed():
    members, standardiser, maps = trained_like(0, 1)
    ours = whole(members, standardiser, maps, 32)
    members[0].norms[0].running_mean += 1.0
    assert (ours - logits_reference(members, standardiser, maps, size=32)).abs().max() > 1e-2


def test_members_that_agree_leave_no_doubt_and_members_that_contradict_leave_one_bit():
    certain = torch.tensor([[60.0, 0.0], [0.0, 60.0]])
    agreed, doubt = agreement(certain[[0, 0]].unsqueeze(2))
    torch.testing.assert_close(agreed, torch.tensor([[1.0], [0.0]]))
    assert doubt.item() < 1e-6
    mean, doubt = agreement(certain.unsqueeze(2))
    torch.testing.assert_close(mean, torch.tensor([[0.5], [0.5]]))
    assert doubt.item() == pytest.approx(0.6931, abs=1e-4)


def test_a_single_member_is_never_in_doubt():
    _, doubt = agreement(torch.randn(1, 5, 40) * 3)
    assert doubt.max() < 1e-6
