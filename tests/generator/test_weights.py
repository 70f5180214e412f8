from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from hdgan.errors import BadConfig, DamagedArtifact
from hdgan.generator import networks
from hdgan.generator.layers import leaky, modulated_conv
from hdgan.generator.networks import Generator
from hdgan.generator.ops import bands
from hdgan.generator.protocol import to_uint8
from hdgan.generator.spec import NetworkSpec
from hdgan.generator.weights import TrainedGenerator, load_generator, read_shape, save_generator, untrained_like

SPEC = NetworkSpec(
    resolution=32, z_dim=8, w_dim=8, channel_base=256, channel_max=12, start="latent", low_precision="bfloat16", num_low_precision=2
)


@pytest.fixture
def network():
    torch.manual_seed(0)
    network = Generator(SPEC)
    for name, parameter in network.named_parameters():
        if name.endswith("noise_strength"):
            torch.nn.init.constant_(parameter, 0.2)
    network.mapping.w_avg.normal_()
    return network


@pytest.fixture
def path(network, tmp_path):
    path = tmp_path / "generator.safetensors"
    save_generator(path, network, mpp=2.0, trained={"images": 5})
    return path


def test_a_stored_generator_draws_the_same_image_again(path):
    first, second = load_generator(path), load_generator(path)
    w = first.map(torch.ones(1, 8), psi=0.7)
    assert torch.equal(first.render(w), second.render(w))
    assert first.content_hash == second.content_hash
    assert (first.mpp, first.facts) == (2.0, {"images": 5})


def test_images_are_drawn_in_float32_whatever_the_training_used(path):
    generator = load_generator(path)
    image, maps = generator.render_taps(torch.ones(1, 8), num_blocks=4)
    assert {image.dtype, *(m.dtype for m in maps)} == {torch.float32}


@pytest.mark.parametrize("noise_maps", ["shared", "own"])
@pytest.mark.parametrize("step", [1, 5, 32])
def test_the_last_layer_drawn_by_rows_is_that_drawn_at_once(monkeypatch, noise_maps, step):
    torch.manual_seed(1)
    network = Generator(replace(SPEC, noise_maps=noise_maps, low_precision="float32", num_low_precision=0))
    for name, parameter in network.named_parameters():
        if name.endswith("noise_strength"):
            torch.nn.init.constant_(parameter, 0.5)
    generator = TrainedGenerator(network, mpp=None)
    w = generator.map(torch.randn(2, 8), psi=0.7)
    assert generator.begin(w, num_blocks=3) is None  # so small a map is drawn at once
    image, maps = generator.render_taps(w, num_blocks=3)
    monkeypatch.setattr(bands, "_LARGE_VALUES", 2 * maps[-1][0].numel() - 1)
    begun = generator.begin(w, num_blocks=3)
    for found, expected in zip(begun.maps, maps[:-1], strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    parts = [begun.rows(first, min(first + step, 32)) for first in range(0, 32, step)]
    torch.testing.assert_close(torch.cat([part for part, _ in parts], dim=2), maps[-1], rtol=0, atol=1e-5)
    torch.testing.assert_close(torch.cat([part for _, part in parts], dim=2), image, rtol=0, atol=1e-5)
    assert not parts[0][0].requires_grad


def test_large_images_drawn_by_rows_have_the_same_bits():
    torch.manual_seed(2)
    generator = TrainedGenerator(Generator(NetworkSpec(resolution=512, z_dim=8, w_dim=8, channel_base=16384, channel_max=20)), mpp=None)
    w = generator.map(torch.randn(1, 8), psi=0.7)
    image, maps = generator.render_taps(w, num_blocks=2)
    begun = generator.begin(w, num_blocks=2)
    parts = [begun.rows(first, min(first + 100, 512)) for first in range(0, 512, 100)]
    assert all(torch.equal(*pair) for pair in zip(begun.maps, maps[:-1], strict=True))
    assert torch.equal(torch.cat([part for part, _ in parts], dim=2), maps[-1])
    assert torch.equal(torch.cat([part for _, part in parts], dim=2), image)


def test_weights_rounded_to_half_give_another_hash_but_nearly_the_same_image(network, path, tmp_path):
    save_generator(tmp_path / "half.safetensors", network, mpp=2.0, trained={}, is_half=True)
    full, half = load_generator(path), load_generator(tmp_path / "half.safetensors")
    w = torch.ones(1, 8)
    assert full.content_hash != half.content_hash
    torch.testing.assert_close(half.render(w), full.render(w), rtol=0, atol=0.02)


def test_taps_are_every_convolution_after_its_activation(path):
    generator = load_generator(path)
    taps = generator.taps(4)
    assert [tap.name for tap in taps] == ["b4.conv1", "b8.conv0", "b8.conv1", "b16.conv0", "b16.conv1", "b32.conv0", "b32.conv1"]
    assert [(tap.channels, tap.resolution) for tap in taps][-1] == (8, 32)
    w = torch.randn(2, 8, generator=torch.Generator().manual_seed(1))
    image, maps = generator.render_taps(w, num_blocks=4)
    assert torch.equal(image, generator.render(w))
    assert [tuple(m.shape) for m in maps] == [(2, tap.channels, tap.resolution, tap.resolution) for tap in taps]
    # The last map, computed by hand from the one before it.
    layer = generator.network.synthesis.b32.conv1
    by_hand = modulated_conv(maps[-2], layer.weight, layer.affine(w), is_up=False) + layer.noise_const * layer.noise_strength
    torch.testing.assert_close(maps[-1], leaky(by_hand + layer.bias.view(1, -1, 1, 1)))


def test_taps_of_4096_px_have_the_papers_channels():
    spec = NetworkSpec(resolution=4096, channel_base=32768)
    total = {k: sum(2 * spec.channels(r) for r in spec.block_resolutions[-k:]) for k in (3, 4, 5)}
    assert total == {3: 112, 4: 240, 5: 496}


def test_more_blocks_than_there_are_is_refused(path):
    with pytest.raises(BadConfig, match="has 4 blocks"):
        load_generator(path).taps(5)


def test_truncation_draws_latents_towards_the_mean(path):
    generator = load_generator(path)
    z = torch.randn(4, 8, generator=torch.Generator().manual_seed(2))
    full, mean = generator.map(z, psi=1.0), generator.network.mapping.w_avg
    torch.testing.assert_close(generator.map(z, psi=0.5), mean + 0.5 * (full - mean))
    torch.testing.assert_close(generator.map(z, psi=0.0), mean.expand(4, -1))


def test_an_untrained_control_has_the_same_shape_and_other_weights(path):
    trained, control, again = load_generator(path), untrained_like(path, seed=1), untrained_like(path, seed=1)
    assert control.taps(4) == trained.taps(4)
    assert control.content_hash == again.content_hash != trained.content_hash


def test_convolutions_keep_all_bits_of_float32_while_a_generator_draws_and_may_round_again_afterwards(path):
    generator, seen = load_generator(path), []
    for layer in generator.network.modules():
        layer.register_forward_hook(lambda *_: seen.append(torch.backends.cudnn.conv.fp32_precision))
    before = torch.backends.cudnn.conv.fp32_precision
    assert before == "tf32"  # torch's own, with which a GPU's images would not be a CPU's
    w = generator.map(torch.zeros(1, generator.z_dim), psi=0.7)
    generator.render(w)
    generator.render_taps(w, num_blocks=2)
    assert len(seen) > 20
    assert set(seen) == {"ieee"}
    assert torch.backends.cudnn.conv.fp32_precision == before


@pytest.mark.parametrize("place", [0.1, 0.5, 0.99])
def test_a_flipped_bit_in_the_file_is_noticed(path, place):
    data = bytearray(path.read_bytes())
    data[int(len(data) * place)] ^= 4
    path.write_bytes(data)
    with pytest.raises(DamagedArtifact, match=r"generator\.safetensors"):
        load_generator(path)


def test_weights_that_are_not_finite_are_refused(network, path):
    network.synthesis.b4.conv1.bias.data[0] = torch.nan
    save_generator(path, network, mpp=None, trained={})
    with pytest.raises(DamagedArtifact, match="not finite"):
        load_generator(path)


def test_a_picture_with_a_nan_is_refused_and_levels_are_rounded():
    with pytest.raises(ValueError, match="not finite"):
        to_uint8(torch.full((1, 3, 2, 2), torch.nan))
    assert to_uint8(torch.tensor([-2.0, -1.0, 0.0, 0.999, 5.0]).view(1, 1, 1, 5).expand(1, 3, 1, 5))[0, 0, :, 0].tolist() == [
        0,
        0,
        128,
        255,
        255,
    ]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
@pytest.mark.parametrize("is_up", [False, True])
def test_scaled_activations_equal_modulated_weights(dtype, is_up):
    generator = torch.Generator().manual_seed(4)
    x, weight = torch.randn(2, 6, 8, 8, generator=generator), torch.randn(5, 6, 3, 3, generator=generator)
    styles = torch.randn(2, 6, generator=generator)
    ours = modulated_conv(
        x.to(dtype),
        weight if dtype != torch.float64 else weight.double(),
        styles.to(dtype if dtype == torch.float64 else torch.float32),
        is_up=is_up,
    )
    for n in range(2):
        modulated = weight * styles[n].view(1, -1, 1, 1)
        demodulated = modulated * (modulated.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).rsqrt()
        from hdgan.generator.ops import conv

        plain = conv.up_conv_reference(x[n : n + 1], demodulated) if is_up else F.conv2d(x[n : n + 1], demodulated, padding=1)
        torch.testing.assert_close(ours[n : n + 1].float(), plain, rtol=0, atol=2e-2 if dtype == torch.float16 else 1e-5)


def test_the_generator_fits_the_protocol(network):
    from hdgan.generator.protocol import LatentGenerator

    generator: LatentGenerator = TrainedGenerator(network, mpp=None)
    w = generator.map(torch.zeros(1, generator.z_dim), psi=0.7)
    assert to_uint8(generator.render(w)).shape == (1, 32, 32, 3)
    assert bool(torch.isfinite(generator.render(w)).all())


def test_shape_and_scale_are_read_without_the_weights(path, tmp_path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1  # which reading all would notice
    path.write_bytes(data)
    assert read_shape(path) == (SPEC, 2.0)
    path.write_bytes(data[:20])
    with pytest.raises(DamagedArtifact, match="is no generator of ours"):
        read_shape(path)
    with pytest.raises(DamagedArtifact, match="absent"):
        read_shape(tmp_path / "absent.safetensors")


@pytest.mark.parametrize("edge", [32, 0])
def test_images_and_maps_are_the_same_to_rounding_in_either_memory_order_and_maps_are_given_contiguous(network, edge, monkeypatch):
    plain = TrainedGenerator(copy.deepcopy(network), mpp=None)
    plain.network.to(memory_format=torch.contiguous_format)
    monkeypatch.setattr(networks, "SMALL_PX", edge)
    found = TrainedGenerator(copy.deepcopy(network), mpp=None)
    kernel = found.network.synthesis.b16.conv1.weight
    assert kernel.is_contiguous(memory_format=torch.channels_last) == bool(edge)
    assert found.content_hash == plain.content_hash
    w = plain.map(torch.randn(2, plain.z_dim, generator=torch.Generator().manual_seed(0)), psi=0.7)
    (image, maps), (expected, plain_maps) = (g.render_taps(w, num_blocks=3) for g in (found, plain))
    for ours, theirs in zip((image, *maps), (expected, *plain_maps), strict=True):
        assert ours.is_contiguous()
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_held_weights_draw_the_same_image_to_the_bit(path):
    held = load_generator(path)
    plain = TrainedGenerator(load_generator(path).network, mpp=None)
    for module in plain.network.modules():
        for name in ("held_weight", "held_bias", "held_energy"):
            if hasattr(module, name):
                setattr(module, name, None)
    z = torch.randn(3, plain.z_dim)
    assert held.network.mapping.fc0.held_weight is not None
    assert held.network.synthesis.b8.conv0.held_energy is not None
    assert torch.equal(held.map(z, psi=0.7), plain.map(z, psi=0.7))
    assert torch.equal(held.render(held.map(z, psi=0.7)), plain.render(plain.map(z, psi=0.7)))
    assert held.content_hash == plain.content_hash
    assert not any("held" in name for name in held.network.state_dict())


def test_weights_that_may_still_be_trained_are_not_held(network):
    generator = TrainedGenerator(copy.deepcopy(network), mpp=None)
    w = generator.map(torch.ones(1, generator.z_dim), psi=1.0)
    before = generator.render(w)
    with torch.no_grad():
        generator.network.synthesis.b8.conv0.affine.weight.mul_(3.0)
    assert not torch.equal(generator.render(w), before)
