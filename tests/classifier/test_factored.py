from __future__ import annotations

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hdgan.classifier import factored
from hdgan.classifier.ensemble import agreement
from hdgan.classifier.factored import fold, logits, logits_reference, predicted, probabilities
from hdgan.classifier.mlp import PixelMlp
from hdgan.features.moments import Standardiser

TAPS = [(6, 4), (5, 8), (5, 8), (3, 16), (2, 32)]


def trained_like(seed: int, num_members: int, taps=TAPS, hidden=(12, 6)) -> tuple[list[PixelMlp], Standardiser, list[torch.Tensor]]:
    """Members whose every parameter and running statistic is something other than its initial value."""
    torch.manual_seed(seed)
    num_channels = sum(channels for channels, _ in taps)
    members = [PixelMlp(num_channels, 4, hidden=hidden, dropout=0.3) for _ in range(num_members)]
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


def assert_equal_to_rounding(ours, plain, *, tolerance=1e-5):
    assert ours.shape == plain.shape
    assert (ours - plain).abs().max() <= tolerance * max(1.0, float(plain.abs().max()))


@pytest.fixture
def threads():
    """Sets torch's threads; afterwards they are as they were."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


CUTS = {
    "_STRIP_ROWS": st.sampled_from([1, 3, 16, 64]),
    "_BLOCK_COLUMNS": st.sampled_from([1, 48, 256]),
    "_GROUP_ROWS": st.sampled_from([1, 5, 16]),
    "_TILE_PX": st.sampled_from([1, 7, 16]),
    "_CACHE_VALUES": st.sampled_from([1, 5000, 2**17]),
    "_WIDTH_TOGETHER": st.sampled_from([1, 30, 10**6]),
}
HIDDEN = st.sampled_from([(), (9,), (12, 6), (8, 7, 5)])


@given(st.integers(0, 10_000), st.integers(1, 4), st.sampled_from([32, 37, 48, 64]), HIDDEN, st.fixed_dictionaries(CUTS))
@settings(max_examples=40)
def test_the_factored_logits_are_the_plain_ones_however_the_image_is_cut(seed, num_members, size, hidden, cuts):
    members, standardiser, maps = trained_like(seed, num_members, hidden=hidden)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in cuts.items():
            patch.setattr(factored, name, value)
        ours = whole(members, standardiser, maps, size)
    # torch places pixels in float32, which shows where the ratio is no power of two
    assert_equal_to_rounding(ours, logits_reference(members, standardiser, maps, size=size), tolerance=1e-5 if size == 64 else 1e-4)


@given(st.integers(0, 1000), st.lists(st.tuples(st.integers(1, 30), st.integers(1, 50)), min_size=1, max_size=4), HIDDEN)
@settings(max_examples=40)
def test_maps_may_have_any_resolutions_in_any_order_coarser_or_finer_than_the_image(seed, taps, hidden):
    members, standardiser, maps = trained_like(seed, 1, taps, hidden)
    ours, plain = whole(members, standardiser, maps, 24), logits_reference(members, standardiser, maps, size=24)
    assert_equal_to_rounding(ours, plain, tolerance=1e-4)


@pytest.mark.parametrize("is_upsampled_first", [True, False])
@pytest.mark.parametrize("size", [32, 41])
def test_both_orders_of_the_first_layer_give_the_same(monkeypatch, is_upsampled_first, size):
    members, standardiser, maps = trained_like(5, 3)
    monkeypatch.setattr(factored, "is_upsampled_first", lambda _, edge, *, size, **__: edge == size or is_upsampled_first)
    assert_equal_to_rounding(
        whole(members, standardiser, maps, size), logits_reference(members, standardiser, maps, size=size), tolerance=1e-4
    )


def test_many_members_have_few_channels_upsampled_first():
    """As a whole: the choice that `cutting` makes reaches the computation."""
    members, standardiser, maps = trained_like(6, 4, [(2, 32), (40, 16), (3, 64)], hidden=(64,))
    task = factored._task(fold(members, standardiser), maps, 64)
    assert [level.edge for level in task.fine] == [32, 64]
    assert [level.edge for level in task.levels] == [16]
    assert_equal_to_rounding(whole(members, standardiser, maps, 64), logits_reference(members, standardiser, maps, size=64))


def test_any_number_of_threads_gives_the_same_bits_and_leaves_torch_its_own(threads):
    members, standardiser, maps = trained_like(7, 2)
    found = []
    for num in (1, 2, 5):
        threads(num)
        found.append(whole(members, standardiser, maps, 200))
        assert torch.get_num_threads() == num
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


@given(st.integers(0, 10_000), st.sampled_from([32, 37, 200]), HIDDEN, st.integers(0, 2), st.fixed_dictionaries(CUTS))
@settings(max_examples=30)
def test_the_finest_maps_may_be_made_row_by_row(seed, size, hidden, num_apart, cuts):
    """Those of image size that are not made by rows lie among the maps."""
    taps = [*TAPS[:3], (3, size), (2, size), (4, size)]
    members, standardiser, maps = trained_like(seed, 2, taps=taps, hidden=hidden)
    apart = torch.cat(maps[3 + num_apart :])
    asked = []

    def finest(first, last):
        asked.append((first, last))
        return apart[:, first:last]

    with pytest.MonkeyPatch.context() as patch:
        for name, value in cuts.items():
            patch.setattr(factored, name, value)
        folded = fold(members, standardiser)
        ours = torch.cat([strip for _, strip in logits(folded, maps[: 3 + num_apart], size=size, finest=finest)], dim=2)
        assert torch.equal(ours, whole(members, standardiser, maps, size))
    assert sorted(asked)[0][0] == 0
    assert sum(last - first for first, last in asked) == size  # each row once
    assert_equal_to_rounding(ours, logits_reference(members, standardiser, maps, size=size))


@pytest.mark.parametrize("num_threads", [1, 2])
def test_a_failure_in_a_strip_is_raised_where_the_strips_are_read(threads, num_threads):
    members, standardiser, maps = trained_like(8, 1)

    def fail(found):
        raise ValueError("no such strip")

    threads(num_threads)
    with pytest.raises(ValueError, match="no such strip"):
        list(predicted(fold(members, standardiser), maps, size=200, then=fail))


def test_reading_may_stop_after_any_strip(threads):
    members, standardiser, maps = trained_like(9, 1)
    threads(2)
    strips = logits(fold(members, standardiser), maps, size=300)
    first, found = next(strips)
    strips.close()
    assert (first, found.shape) == (0, (1, 4, 64, 300))
    assert_equal_to_rounding(found, logits_reference(members, standardiser, maps, size=300)[:, :, :64], tolerance=1e-4)


def test_labels_are_those_of_the_plain_way():
    members, standardiser, maps = trained_like(10, 3)
    plain = logits_reference(members, standardiser, maps, size=256).softmax(dim=1).mean(dim=0).argmax(dim=0)
    strips = probabilities(fold(members, standardiser), maps, size=256)
    ours = torch.cat([found.mean(dim=0).argmax(dim=0) for _, found in strips])
    assert (ours == plain).float().mean() >= 0.99999


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
    then = partial(torch.softmax, dim=1)
    strips = predicted(fold(members, standardiser), maps, size=32, then=then)
    assert torch.equal(chances, torch.cat([strip for _, strip in strips], dim=2))


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


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("num_members", [1, 10])
def test_a_gpu_gives_the_logits_of_the_plain_way(num_members):
    taps = [(12, 4), (12, 16), (9, 64), (6, 128)]
    members, standardiser, maps = trained_like(3, num_members, taps)
    plain = logits_reference(members, standardiser, maps, size=128)
    folded = fold(members, standardiser).to(torch.device("cuda"))
    found = torch.cat([strip for _, strip in logits(folded, [m.cuda() for m in maps], size=128)], dim=2).cpu()
    assert_equal_to_rounding(found, plain, tolerance=1e-4)
    assert (found.argmax(dim=1) == plain.argmax(dim=1)).double().mean() >= 0.99999
