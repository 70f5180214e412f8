from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from hdgan.errors import BadConfig
from hdgan.generator import augment, losses
from hdgan.generator.augment_draws import RandomChance, draw
from hdgan.generator.augment_sets import SETS
from hdgan.generator.capture import captured
from hdgan.generator.networks import Discriminator, Generator
from hdgan.generator.ops import bands, conv
from hdgan.generator.spec import NetworkSpec
from hdgan.testing.tiny import tiny_network

SMALL = {"resolution": 16, "z_dim": 8, "w_dim": 8, "channel_base": 128, "channel_max": 8}


def pair(*, seed=2, **fields) -> tuple[Generator, Discriminator]:
    torch.manual_seed(seed)
    spec = NetworkSpec(**SMALL | fields)
    return Generator(spec), Discriminator(spec)


@pytest.mark.parametrize("discriminator", ["resnet", "orig"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 6])
def test_any_number_of_channels_is_drawn_and_judged(channels, discriminator):
    G, D = pair(image_channels=channels, discriminator=discriminator)
    image = G(torch.randn(4, 8))
    assert image.shape == (4, channels, 16, 16)
    (gradient,) = torch.autograd.grad(D(image).sum(), image)
    assert all(float(gradient[:, i].abs().sum()) > 0 for i in range(channels))


def test_the_plain_discriminator_is_its_convolutions_one_after_the_other():
    _, D = pair(discriminator="orig")
    names = {name for name, _ in D.named_parameters()}
    assert not any("skip" in name for name in names)
    assert {"b16.fromrgb.weight", "b16.conv1.bias", "b8.conv0.weight", "b4.fc.weight"} <= names
    x = image = torch.rand(4, 3, 16, 16)
    for block in (D.b16, D.b8):
        layers = [block.fromrgb] if block is D.b16 else []
        for layer in (*layers, block.conv0, block.conv1):
            weight = layer.weight * layer.gain
            x = conv.down_conv_reference(x, weight) if layer.is_down else F.conv2d(x, weight, padding=weight.shape[2] // 2)
            x = F.leaky_relu(x + layer.bias.view(1, -1, 1, 1), 0.2) * 2**0.5
    torch.testing.assert_close(D.features(image), x, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(D(image), D.judge(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("precision", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("discriminator", ["resnet", "orig"])
def test_every_number_format_goes_through_both_losses_and_r1_with_the_warp(precision, discriminator):
    clamp = 256.0 if precision == "float16" else None
    G, D = pair(low_precision=precision, num_low_precision=4, clamp=clamp, discriminator=discriminator)
    exact_G, exact_D = pair(discriminator=discriminator)
    if precision != "float32":
        assert {block.dtype for block in (G.synthesis.b8, G.synthesis.b16, D.b16, D.b8)} == {getattr(torch, precision)}
    operations = tuple(o for o in SETS["bgc"] if o != "xint")
    draws = draw(RandomChance(4, torch.Generator().manual_seed(1)), operations=operations, p=0.8, height=16, width=16)
    z = torch.randn(4, 8, generator=torch.Generator().manual_seed(2))
    found = []
    for g, d in ((G, D), (exact_G, exact_D)):
        losses.generator_loss(d(augment.apply(g(z, noise="none"), draws))).backward()
        d.zero_grad()
        losses.r1_penalty(lambda x, d=d: d(augment.apply(x, draws)), exact_G(z, noise="none")).mean().backward()
        found.append([torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None]) for network in (g, d)])
    for ours, exact in zip(*found, strict=True):
        assert bool(torch.isfinite(ours).all())
        assert float(F.cosine_similarity(ours, exact, dim=0)) > (0.95 if precision == "bfloat16" else 0.999)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_drawing_writes_over_its_own_maps_to_the_same_image_and_leaves_tapped_ones_alone(precision):
    G, _ = pair(low_precision=precision, noise_from_px=4)
    names = [f"b{edge}.{layer}" for edge in (8, 16) for layer in ("conv0", "conv1")]
    ws = G.spread(G.mapping(torch.randn(2, 8)))
    image, maps = captured(G.synthesis, ws, noise="const", names=names)
    with torch.no_grad():
        drawn, tapped = captured(G.synthesis, ws, noise="const", names=names)
    assert image.requires_grad
    assert not drawn.requires_grad
    assert torch.equal(drawn, image.detach())
    for one, other in zip(tapped, maps, strict=True):
        assert torch.equal(one, other.detach())


def test_a_large_image_is_drawn_in_bands_as_it_is_at_once(monkeypatch):
    G, _ = pair(noise_from_px=4)
    ws = G.spread(G.mapping(torch.randn(1, 8)))
    with torch.no_grad():
        whole = G.synthesis(ws, noise="const")
        monkeypatch.setattr(bands, "_LARGE_VALUES", 100)
        monkeypatch.setattr(bands, "_BAND_VALUES", 100)
        torch.testing.assert_close(G.synthesis(ws, noise="const"), whole, rtol=0, atol=1e-5)


def test_truncation_up_to_a_cutoff_leaves_the_finer_latents_alone():
    network = tiny_network()
    z = torch.randn(2, 16, generator=torch.Generator().manual_seed(1))
    w = network.mapping(z)
    ws = network.spread(w, psi=0.5, cutoff=2)
    assert torch.equal(ws[:, :2], network.mapping.w_avg.lerp(w, 0.5).unsqueeze(1).expand(-1, 2, -1))
    assert torch.equal(ws[:, 2:], w.unsqueeze(1).expand(-1, network.spec.num_ws - 2, -1))
    with torch.no_grad():
        images = [network(z, psi=0.5, cutoff=cutoff) for cutoff in (0, 2, network.spec.num_ws, None)]
        assert torch.equal(images[0], network(z))
    assert torch.equal(images[2], images[3])
    assert not torch.equal(images[1], images[0])
    assert not torch.equal(images[1], images[2])


def test_random_noise_is_fresh_at_each_call_and_another_word_is_refused():
    network = tiny_network()
    z = torch.randn(1, 16, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        once, again = (network(z, noise="random") for _ in range(2))
        torch.manual_seed(3)
        first = network(z, noise="random")
        torch.manual_seed(3)
        assert torch.equal(network(z, noise="random"), first)
        assert torch.equal(network(z, noise="const"), network(z, noise="const"))
        with pytest.raises(ValueError, match="not 'konst'"):
            network(z, noise="konst")
    assert not torch.equal(once, again)


def test_a_spec_is_stored_without_what_files_of_earlier_versions_lack():
    assert "discriminator" not in NetworkSpec(**SMALL).to_json()
    plain = NetworkSpec(**SMALL, discriminator="orig")
    assert NetworkSpec.from_json(plain.to_json()) == plain


@pytest.mark.parametrize(("field", "value"), [("discriminator", "skip"), ("image_channels", 0), ("label_dim", -1)])
def test_networks_that_cannot_be_built_are_refused(field, value):
    with pytest.raises(BadConfig, match=str(value)):
        NetworkSpec(**SMALL | {field: value})
