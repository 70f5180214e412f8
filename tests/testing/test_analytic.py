from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor, nn

from hdgan.errors import BadConfig
from hdgan.features.upsample import upsample_reference
from hdgan.generator.protocol import LatentGenerator, TapSpec, to_uint8
from hdgan.randomness import stream
from hdgan.testing.analytic import AnalyticGenerator


def latents(generator: AnalyticGenerator, num: int, *, seed: int = 0, psi: float = 0.7) -> Tensor:
    z = np.stack([stream(seed, "test.z", i).normal(size=generator.z_dim) for i in range(num)])
    return generator.map(torch.from_numpy(z.astype(np.float32)), psi=psi)


@pytest.fixture(scope="module")
def small() -> AnalyticGenerator:
    return AnalyticGenerator(32)


@pytest.mark.parametrize("resolution", [32, 64, 128])
def test_it_is_a_latent_generator_of_any_resolution(resolution: int) -> None:
    generator: LatentGenerator = AnalyticGenerator(resolution)
    w = generator.map(torch.zeros(2, generator.z_dim), psi=0.7)
    image, maps = generator.render_taps(w, num_blocks=3)
    taps = generator.taps(3)
    assert w.shape == (2, generator.w_dim)
    assert image.shape == (2, 3, resolution, resolution)
    assert torch.equal(image, generator.render(w))
    assert [t.name for t in taps] == [f"b{r}.conv{i}" for r in (resolution // 4, resolution // 2, resolution) for i in (0, 1)]
    assert [tuple(m.shape) for m in maps] == [(2, t.channels, t.resolution, t.resolution) for t in taps]
    assert {m.dtype for m in (w, image, *maps)} == {torch.float32}
    assert generator.mpp == 4.0


def test_the_first_block_has_one_map_and_more_blocks_than_there_are_is_refused(small: AnalyticGenerator) -> None:
    assert small.taps(4)[:2] == (TapSpec("b4.conv1", 32, 4), TapSpec("b8.conv0", 32, 8))
    _, some = small.render_taps(latents(small, 1), num_blocks=2)
    _, every = small.render_taps(latents(small, 1), num_blocks=4)
    assert all(torch.equal(a, b) for a, b in zip(some, every[-4:], strict=True))
    for num_blocks in (0, 5):
        with pytest.raises(BadConfig, match="has 4 blocks"):
            small.taps(num_blocks)


def test_the_same_latent_gives_the_same_bits_from_another_instance(small: AnalyticGenerator) -> None:
    w = latents(small, 3)
    again = AnalyticGenerator(32)
    for one, two in zip(small.render_taps(w, num_blocks=4)[1], again.render_taps(w, num_blocks=4)[1], strict=True):
        assert torch.equal(one, two)
    assert again.content_hash == small.content_hash
    assert np.array_equal(small.exact_mask(w), again.exact_mask(w))


def test_the_hash_tells_generators_apart(small: AnalyticGenerator) -> None:
    others = [AnalyticGenerator(64), AnalyticGenerator(32, seed=1), AnalyticGenerator(32, signal=0.0), AnalyticGenerator(32, noise=0.1)]
    assert len({small.content_hash, *(g.content_hash for g in others)}) == 5


def test_an_image_alone_equals_the_same_image_in_a_batch(small: AnalyticGenerator) -> None:
    w = latents(small, 5)
    together, maps = small.render_taps(w, num_blocks=4)
    masks = small.exact_mask(w)
    for i in range(5):
        image, alone = small.render_taps(w[i : i + 1], num_blocks=4)
        torch.testing.assert_close(image[0], together[i], rtol=0, atol=2e-5)
        for one, many in zip(alone, maps, strict=True):
            torch.testing.assert_close(one[0], many[i], rtol=0, atol=2e-4)
        assert np.array_equal(small.exact_mask(w[i : i + 1])[0], masks[i])


def test_truncation_moves_latents_towards_the_mean_one(small: AnalyticGenerator) -> None:
    z = torch.randn(4, small.z_dim, generator=torch.Generator().manual_seed(0))
    mean, half, full = (small.map(z, psi=psi) for psi in (0.0, 0.5, 1.0))
    assert torch.equal(mean[0], mean[3])
    assert mean.abs().sum() > 0
    torch.testing.assert_close(half, 0.5 * (mean + full))


def test_all_classes_are_frequent(small: AnalyticGenerator) -> None:
    masks = small.exact_mask(latents(small, 40))
    share = np.bincount(masks.ravel(), minlength=5) / masks.size
    assert (share > [0.1, 0.4, 0.08, 0.02, 0.02]).all()
    assert share.sum() == pytest.approx(1)
    assert np.mean([len(np.unique(m)) for m in masks]) > 4.5


def test_a_rare_class_has_about_three_in_a_thousand_pixels_and_another_hash(small: AnalyticGenerator) -> None:
    rare = AnalyticGenerator(64, has_rare_class=True)
    masks = rare.exact_mask(latents(rare, 60, psi=1.0))
    share = np.bincount(masks.ravel(), minlength=5) / masks.size
    assert 0.002 < share[3] < 0.004
    assert (share[[0, 1, 2, 4]] > 0.02).all()
    assert rare.content_hash != AnalyticGenerator(64).content_hash
    assert len(rare.render_taps(latents(rare, 1), num_blocks=5)[1]) == 9


def test_contrast_hides_classes_in_the_picture_and_not_in_the_mask(small: AnalyticGenerator) -> None:
    w = latents(small, 4)
    masks, plain = small.exact_mask(w), small.render(w)
    differences = []
    for contrast in (1.0, 0.3, 0.0):
        generator = AnalyticGenerator(32, contrast=contrast)
        assert np.array_equal(generator.exact_mask(w), masks)
        differences.append(float((generator.render(w) - plain).abs().mean()))
    assert differences[0] == 0 < differences[1] < differences[2]
    assert AnalyticGenerator(32, contrast=1.0).content_hash == small.content_hash != AnalyticGenerator(32, contrast=0.3).content_hash


def test_a_latent_means_the_same_scene_at_every_resolution() -> None:
    coarse, fine = AnalyticGenerator(32), AnalyticGenerator(128)
    w = latents(coarse, 10)
    middle = fine.exact_mask(w)[:, 2::4, 2::4]
    assert (middle == coarse.exact_mask(w)).mean() > 0.96


def test_the_image_shows_what_the_mask_says() -> None:
    """Glass is white throughout; glomeruli have a white space below their edge and tubules have none there; vessels an open middle."""
    generator = AnalyticGenerator(128)
    w = latents(generator, 12)
    brightness = to_uint8(generator.render(w)).min(axis=3) / 255
    white = {kind: [] for kind in ("glass", "space", "around", "middle", "wall")}
    for mask, light in zip(generator.exact_mask(w), brightness, strict=True):
        glass, body, vessel = mask == 0, mask == 2, mask == 4
        inside = ndimage.distance_transform_edt(body | glass)  # glass is no edge of a body here
        wall = ndimage.distance_transform_edt(vessel | glass)
        outside = ndimage.distance_transform_edt(~body)
        white["glass"].append(light[ndimage.binary_erosion(glass, iterations=2)])
        white["space"].append(light[body & (inside > 2.5) & (inside < 4)])
        white["around"].append(light[(outside > 1.5) & (outside < 4) & (mask == 1)])
        white["middle"].append(light[vessel & (wall > 10)])
        white["wall"].append(light[vessel & (wall > 2) & (wall < 6)])
    mean = {kind: float(np.concatenate(values).mean()) for kind, values in white.items()}
    assert mean["glass"] > 0.9
    assert mean["space"] > mean["around"] + 0.15
    assert mean["middle"] > mean["wall"] + 0.25


def test_the_image_changes_smoothly_with_the_latent(small: AnalyticGenerator) -> None:
    w = latents(small, 1).requires_grad_(True)
    direction = torch.randn(small.w_dim, generator=torch.Generator().manual_seed(1))
    small.render(w)[0, :, 10:20].mean().backward()
    assert w.grad is not None
    slope = float(w.grad[0] @ direction)
    with torch.no_grad():
        step = 1e-3
        up, down = (small.render(w + sign * step * direction)[0, :, 10:20].double().mean() for sign in (1, -1))
    assert float(up - down) / (2 * step) == pytest.approx(slope, rel=0.02, abs=1e-4)


def macro_dice(truth: Tensor, predicted: Tensor) -> float:
    matrix = torch.bincount(truth * 5 + predicted, minlength=25).reshape(5, 5).double()
    return float((2 * matrix.diag() / (matrix.sum(0) + matrix.sum(1))).nan_to_num().mean())


def learned(generator: AnalyticGenerator, *, resolution: int | None, hidden: int) -> float:
    """Macro Dice on 12 images after fitting on 12 others: an MLP, or with `hidden` 0 a linear read-out, of one resolution or of all."""
    torch.manual_seed(0)
    w = latents(generator, 24)
    taps = generator.taps(4)
    chosen = [i for i, t in enumerate(taps) if resolution in (None, t.resolution)]
    maps = generator.render_taps(w, num_blocks=4)[1]
    features = torch.stack([upsample_reference([maps[i][n] for i in chosen], generator.resolution) for n in range(24)])
    x = features.permute(0, 2, 3, 1).flatten(1, 2)
    x = (x - x[:12].mean(dim=(0, 1))) / (x[:12].std(dim=(0, 1)) + 1e-6)
    y = torch.from_numpy(generator.exact_mask(w)).long().flatten(1)
    width = x.shape[-1]
    model = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, 5)) if hidden else nn.Linear(width, 5)
    optimiser = torch.optim.Adam(model.parameters(), 5e-3)
    pool_x, pool_y = x[:12].flatten(0, 1), y[:12].flatten()
    for _ in range(250):
        rows = torch.randint(len(pool_x), (2048,))
        optimiser.zero_grad()
        F.cross_entropy(model(pool_x[rows]), pool_y[rows]).backward()
        optimiser.step()
    return macro_dice(y[12:].flatten(), model(x[12:].flatten(0, 1)).argmax(dim=1))


def test_all_maps_together_tell_the_classes_and_none_does_alone(small: AnalyticGenerator) -> None:
    assert learned(small, resolution=None, hidden=64) > 0.94
    for resolution in small.block_resolutions:
        assert learned(small, resolution=resolution, hidden=0) < 0.9, resolution


def test_without_a_signal_the_images_stay_and_the_maps_know_little(small: AnalyticGenerator) -> None:
    blind = AnalyticGenerator(32, signal=0.0)
    w = latents(small, 2)
    assert torch.equal(blind.render(w), small.render(w))
    assert learned(blind, resolution=None, hidden=64) < 0.55


@pytest.mark.parametrize("arguments", [{"resolution": 48}, {"resolution": 8}, {"w_dim": 10}, {"resolution": 64, "channel_base": 64}])
def test_a_shape_that_cannot_be_built_is_refused(arguments: dict[str, int]) -> None:
    with pytest.raises(BadConfig, match="analytic generator"):
        AnalyticGenerator(**arguments)
