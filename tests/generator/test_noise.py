from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from hdgan.errors import BadConfig
from hdgan.generator.networks import Generator
from hdgan.generator.noise import own_maps, seeds_of
from hdgan.generator.spec import NetworkSpec
from hdgan.generator.weights import TrainedGenerator, load_generator, save_generator, untrained_like

SPEC = NetworkSpec(resolution=32, z_dim=8, w_dim=8, channel_base=256, channel_max=12, noise_from_px=16, noise_maps="own")


@pytest.fixture
def network():
    torch.manual_seed(0)
    network = Generator(SPEC)
    for name, parameter in network.named_parameters():
        if name.endswith("noise_strength"):
            torch.nn.init.constant_(parameter, 0.5)
    return network


@pytest.fixture
def z():
    return torch.randn(3, 8, generator=torch.Generator().manual_seed(1))


def test_a_seed_is_a_whole_number_that_float32_holds_and_differs_between_latents(z):
    seeds = seeds_of(z)
    assert seeds.shape == (3, 1)
    assert torch.equal(seeds, seeds.round())
    assert len(set(seeds.flatten().tolist())) == 3
    assert float(seeds.max()) < 2**24
    assert torch.equal(seeds_of(z[1:2]), seeds[1:2])


def test_only_layers_that_take_noise_have_maps_of_their_size(network, z):
    maps = own_maps(network.synthesis, seeds_of(z))
    assert {name: tuple(m.shape) for name, m in maps.items()} == {
        "b16.conv0": (3, 1, 16, 16),
        "b16.conv1": (3, 1, 16, 16),
        "b32.conv0": (3, 1, 32, 32),
        "b32.conv1": (3, 1, 32, 32),
    }
    flat = torch.cat([m.flatten() for m in maps.values()])
    assert abs(float(flat.mean())) < 0.05
    assert float(flat.std()) == pytest.approx(1, abs=0.03)


def test_an_image_has_the_same_noise_alone_and_in_a_batch(network, z):
    generator = TrainedGenerator(network, mpp=None)
    w = generator.map(z, psi=0.7)
    torch.testing.assert_close(generator.render(w)[1:2], generator.render(w[1:2]))


def test_the_seed_is_the_last_number_of_the_latent_and_alone_decides_the_noise(network, z):
    generator = TrainedGenerator(network, mpp=None)
    w = generator.map(z, psi=0.7)
    assert w.shape == (3, generator.w_dim) == (3, 9)
    other = w.clone()
    other[:, -1] = w[:, -1].roll(1)
    assert not torch.equal(generator.render(other), generator.render(w))
    plain = network.synthesis(network.spread(w[:, :8]), noise=own_maps(network.synthesis, w[:, -1:]))
    assert torch.equal(plain, generator.render(w))
    quiet = network.synthesis(network.spread(w[:, :8]), noise="none")
    assert not torch.equal(quiet, generator.render(w))


def test_truncation_leaves_the_seed_alone(network, z):
    generator = TrainedGenerator(network, mpp=None)
    assert torch.equal(generator.map(z, psi=0.3)[:, -1], generator.map(z, psi=1.0)[:, -1])
    assert not torch.equal(generator.map(z, psi=0.3)[:, :8], generator.map(z, psi=1.0)[:, :8])


def test_no_stored_map_travels_with_the_weights_and_the_image_survives_the_file(network, z, tmp_path):
    assert not any("noise_const" in name for name in network.state_dict())
    save_generator(tmp_path / "g.safetensors", network, mpp=2.0, trained={})
    generator = load_generator(tmp_path / "g.safetensors")
    w = generator.map(z, psi=0.7)
    assert torch.equal(generator.render(w), TrainedGenerator(network, mpp=2.0).render(w))
    assert untrained_like(tmp_path / "g.safetensors", seed=1).w_dim == 9


def test_an_unknown_kind_of_maps_is_refused():
    with pytest.raises(BadConfig, match="shared or own"):
        replace(SPEC, noise_maps="none")


def test_a_network_without_stored_maps_draws_each_image_with_its_own_unless_told_otherwise(network, z):
    w = TrainedGenerator(network, mpp=None).map(z, psi=1.0)
    with torch.no_grad():
        assert torch.equal(network(z), TrainedGenerator(network, mpp=None).render(w))
        assert not torch.equal(network(z, noise="none"), network(z))
