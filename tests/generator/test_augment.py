"""The augmentation against numbers measured on the published implementation, every draw fixed at a percentile."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hdgan.errors import BadConfig
from hdgan.generator import augment, augment_draws, augment_warp
from hdgan.generator.augment_draws import Draws, RandomChance, draw
from hdgan.generator.augment_sets import SETS

from .conftest import statistics

PUBLISHED = {
    ("bgc", 0.1): [-0.1369259, 0.2228556, 0.0534858, 0.1228051, -0.0421224],
    ("bgc", 0.5): [0.0044296, 0.5598982, 0.5422860, 0.3994426, -0.6388302],
    ("bgc", 0.9): [-0.2406223, 1.0487135, 0.3774953, -0.7051748, -0.7415652],
    ("filter", 0.1): [-0.0031110, 0.4316964, 0.0762120, -0.2479149, -0.4048809],
    ("filter", 0.5): [-0.0041471, 0.5754811, 0.1015958, -0.3304877, -0.5397341],
    ("filter", 0.9): [-0.0029235, 0.4056817, 0.0716193, -0.2329752, -0.3804821],
    ("xflip", 0.3): [-0.0041471, 0.5754809, 0.1015965, -0.3304883, -0.5397340],
    ("rotate90", 0.3): [-0.0041719, 0.5604784, 0.3567549, 0.3269717, -0.4254420],
    ("xint", 0.3): [0.0009961, 0.5781773, -0.8769415, 0.8901628, -0.7022924],
    ("scale", 0.3): [-0.0026536, 0.4355013, 0.6603966, -0.5054190, -0.4578727],
    ("rotate", 0.3): [-0.0036249, 0.4545013, 0.6001186, -0.3513576, -0.0836812],
    ("aniso", 0.3): [-0.0017822, 0.4462954, 0.6834385, -0.5530230, -0.4804276],
    ("xfrac", 0.3): [0.0001419, 0.4430265, -0.0655245, 0.0285150, -0.6189891],
    ("brightness", 0.3): [-0.0783085, 0.5754811, 0.0274343, -0.4046491, -0.6138955],
    ("contrast", 0.3): [-0.0036470, 0.5060798, 0.0893436, -0.2906319, -0.4746438],
    ("hue", 0.3): [-0.0041471, 0.5754811, -0.1555635, -0.4017081, -0.1714444],
    ("saturation", 0.3): [-0.0041471, 0.4926802, 0.0551854, -0.2132917, -0.4019900],
    ("cutout", 0.3): [0.0014457, 0.4943967, 0.1015958, -0.3304877, -0.5397341],
}


class FixedChance:
    """Every operation happens, every draw is the percentile q (with erfinv's scale, as measured)."""

    def __init__(self, q: float) -> None:
        self.q = q

    def gate(self, p):
        return torch.ones(2, dtype=torch.bool)

    def uniform(self):
        return torch.full((2,), self.q)

    def normal(self):
        return torch.erfinv(torch.full((2,), 2 * self.q - 1))


@pytest.fixture
def images():
    return torch.from_numpy(np.random.RandomState(3).rand(2, 3, 32, 32) * 2 - 1).float()


@pytest.mark.parametrize(("name", "q"), list(PUBLISHED))
def test_each_operation_gives_the_published_numbers(name, q, images, monkeypatch):
    operations = SETS.get(name, (name,))
    turning, calls = augment_draws._turning, []

    def without_second_turn(angle):
        calls.append(angle)
        is_second = len(calls) == ("rotate90" in operations) + 2
        return turning(angle * 0 if is_second else angle)

    monkeypatch.setattr(augment_draws, "_turning", without_second_turn)
    draws = draw(FixedChance(q), operations=operations, p=1.0, height=32, width=32)
    if draws.geometry is None and draws.blit is not None:
        draws = Draws(geometry=draws.blit)  # the published pipe resamples even a pure flip
    assert statistics(augment.apply(images, draws)) == pytest.approx(PUBLISHED[name, q], abs=1e-5)


@pytest.mark.parametrize("quarters", range(4))
def test_a_pure_blit_moves_pixels_without_touching_their_values(quarters, images):
    matrix = augment_draws._turning(torch.full((2,), quarters * torch.pi / 2)).round()
    expected = torch.rot90(images, quarters, dims=(2, 3))
    assert torch.equal(augment.apply(images, Draws(blit=matrix)), expected)


def test_nothing_happens_at_chance_zero(images):
    draws = draw(RandomChance(2, torch.Generator().manual_seed(0)), operations=SETS["blit"] + SETS["color"], p=0.0, height=32, width=32)
    torch.testing.assert_close(augment.apply(images, draws), images, rtol=0, atol=1e-6)


def test_images_can_be_differentiated_twice_through_every_operation():
    x = torch.rand(1, 3, 16, 16, dtype=torch.double, generator=torch.Generator().manual_seed(1)).requires_grad_()
    chance = RandomChance(1, torch.Generator().manual_seed(3))
    draws = draw(chance, operations=tuple(o for o in SETS["bgcfnc"] if o not in ("noise", "filter")), p=1.0, height=16, width=16)
    (first,) = torch.autograd.grad(augment.apply(x, draws).pow(3).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), x)
    assert torch.isfinite(second).all()
    assert second.abs().sum() > 0


def test_the_low_pass_around_the_warp_has_the_published_taps():
    published = [0.0108923, 0.0024683, -0.0834316, -0.0341616, 0.3472289, 0.5569464]
    published += [0.2389522, -0.0513625, -0.0148919, 0.0316253, 0.0012500, -0.0055159]
    assert augment_warp._sym6(torch.zeros(1)).tolist() == pytest.approx(published, abs=1e-7)


@pytest.mark.parametrize("channels", [1, 2, 4, 5])
def test_brightness_contrast_and_inversion_work_for_any_number_of_channels(channels):
    x = torch.rand(2, channels, 8, 8, generator=torch.Generator().manual_seed(0))
    chance = FixedChance(0.7)  # 0.7: the inversion happens
    moved = augment.apply(x, draw(chance, operations=SETS["color"], p=1.0, height=8, width=8))
    shift, factor = float(chance.normal()[0]) * 0.2, 2 ** (float(chance.normal()[0]) * 0.5)
    mean = x.mean(dim=1, keepdim=True)
    expected = ((x - mean) - (mean + shift)) * factor
    torch.testing.assert_close(moved, expected, rtol=0, atol=1e-5)


def test_every_set_of_operations_takes_images_of_four_channels():
    for name, operations in SETS.items():
        generator = torch.Generator().manual_seed(5)
        draws = draw(RandomChance(2, generator), operations=operations, p=1.0, height=64, width=64)
        moved = augment.apply(torch.rand(2, 4, 64, 64, generator=generator), draws, noise=generator)
        assert moved.shape == (2, 4, 64, 64), name
        assert bool(torch.isfinite(moved).all()), name


def test_the_tissue_set_neither_inverts_nor_rotates_colour():
    assert not {"lumaflip", "hue"} & set(SETS["tissue"])


def test_an_unknown_operation_is_named():
    with pytest.raises(BadConfig, match="sparkle"):
        draw(RandomChance(1, torch.Generator()), operations=("sparkle",), p=0.5, height=8, width=8)


def test_the_histology_set_changes_stains_as_a_laboratory_would(images):
    """Darker and lighter in the proportions of the stains, never inverted, glass left as glass."""
    assert not {"lumaflip", "hue", "brightness"} & set(SETS["histology"])
    generator = torch.Generator().manual_seed(0)
    draws = draw(RandomChance(64, generator), operations=("stain",), p=1.0, height=4, width=4)
    tissue = torch.tensor([0.75, 0.45, 0.6]).view(1, 3, 1, 1).expand(64, 3, 4, 4) * 2 - 1
    glass = torch.full((64, 3, 4, 4), 0.95)
    dark = torch.tensor([0.45, 0.25, 0.5]).view(1, 3, 1, 1).expand(64, 3, 4, 4) * 2 - 1
    (tissue_after, glass_after, dark_after) = (augment.apply(x, draws) for x in (tissue, glass, dark))
    assert tissue_after.std(dim=0).mean() > 0.05
    assert (glass_after - glass).abs().max() < 0.2
    # Brightness keeps its order in every image: glass, tissue, nuclei.
    assert (glass_after.mean(dim=1) > tissue_after.mean(dim=1)).all()
    assert (tissue_after.mean(dim=1) > dark_after.mean(dim=1)).all()


def test_stains_at_gain_one_change_nothing_even_outside_the_range_of_pixels(images):
    x = images * 1.5
    same = augment.apply(x, Draws(stain_gain=torch.ones(2, 3), stain_offset=torch.zeros(2, 3)))
    torch.testing.assert_close(same, x, rtol=0, atol=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_stains_never_magnify_what_lies_outside_the_range_of_pixels(seed):
    """A generator's pixel of -3.6 once became 3e26: its density was continued without a bound, and part of it exponentiated."""
    generator = torch.Generator().manual_seed(seed)
    draws = draw(RandomChance(64, generator), operations=("stain",), p=1.0, height=8, width=8)
    x = torch.randn(64, 3, 8, 8, generator=generator) * 5
    x.requires_grad_()
    moved = augment.apply(x, draws)
    inside = augment.apply(x.clamp(-1, 1), draws)
    assert -1.02 < float(inside.detach().min()) < float(inside.detach().max()) < 3.02
    assert torch.allclose(moved - inside, x - x.clamp(-1, 1), atol=0.02)  # between the darkest level and black lies 1/64
    (slope,) = torch.autograd.grad(moved.sum(), x)
    outside = (x.detach().abs() > 1).all(dim=1, keepdim=True).expand_as(x)
    assert outside.any()
    assert bool((slope[outside] == 1).all())


def test_twice_the_amount_of_every_stain_squares_the_light_that_passes(images):
    light = (images + 1.1) / 2.2
    doubled = augment.apply(light * 2 - 1, Draws(stain_gain=torch.full((2, 3), 2.0), stain_offset=torch.zeros(2, 3)))
    bright = light > 0.15
    torch.testing.assert_close(((doubled + 1) / 2)[bright], light.square()[bright], rtol=1e-4, atol=1e-5)


def test_stains_have_exact_gradients_of_both_orders():
    x = (torch.rand(2, 3, 2, 2, dtype=torch.double, generator=torch.Generator().manual_seed(0)) * 1.8 - 0.9).requires_grad_()
    draws = Draws(stain_gain=torch.tensor([[1.2, 0.8, 1.1]] * 2).double(), stain_offset=torch.full((2, 3), 0.01).double())
    assert torch.autograd.gradcheck(lambda v: augment.apply(v, draws), x)
    assert torch.autograd.gradgradcheck(lambda v: augment.apply(v, draws).tanh(), x)
