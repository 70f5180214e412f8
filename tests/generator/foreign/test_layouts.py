"""Files in the published layouts give back every tensor bit for bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from hdgan.generator.foreign.limits import Refused
from hdgan.generator.foreign.read import read_weights
from hdgan.generator.networks import Discriminator, Generator
from tests.generator.foreign.writers import SPEC, networks, official, rosinality


def assert_same(arrays, network):
    state = network.state_dict()
    assert arrays.keys() == state.keys()
    for name, value in state.items():
        assert arrays[name].dtype == np.float32
        assert arrays[name].shape == tuple(value.shape)
        assert arrays[name].tobytes() == value.numpy().tobytes(), name


VARIANTS = {
    "plain": SPEC,
    "eight layers": replace(SPEC, mapping_layers=8),
    "labels": replace(SPEC, label_dim=3),
    "grey": replace(SPEC, image_channels=1),
    "four channels": replace(SPEC, image_channels=4),
    "64 px": replace(SPEC, resolution=64, channel_base=256),
    "half precision": replace(SPEC, low_precision="float16", num_low_precision=2, clamp=256.0),
    "another mapping rate": replace(SPEC, mapping_lr=0.1),
    "a plain discriminator": replace(SPEC, discriminator="orig"),
    "statistics over two": replace(SPEC, minibatch_std_group=2),
}


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize("spec", VARIANTS.values(), ids=VARIANTS)
def test_an_official_pickle_gives_every_tensor_bit_for_bit(spec, protocol):
    G, D = networks(spec)
    found = read_weights(official(G, D, protocol=protocol))
    assert found.spec == spec
    assert found.facts == {"layout": "stylegan2-ada-pytorch", "notes": []}
    assert_same(found.networks["G_average"], G)
    assert_same(found.networks["G"], G)
    assert_same(found.networks["D"], D)


def every_part(root):
    yield root
    for inner in root.state["_modules"].values():
        yield from every_part(inner)


def test_what_stylegan3_adds_to_each_layer_changes_nothing():
    def change(content):
        for name in ("G_ema", "G", "D"):
            for inner in every_part(content[name]):
                inner.state |= {
                    "in_channels": 8,
                    "out_channels": 8,
                    "fused_modconv_default": "inference_only",
                    "num_fp16_res": 0,
                    "_is_full_backward_hook": None,
                }
                inner.state["_init_kwargs"] |= {"channel_base": 64, "block_kwargs": {"use_noise": True}}

    G, D = networks()
    found = read_weights(official(G, D, change=change))
    assert found.spec == SPEC
    assert_same(found.networks["G_average"], G)
    assert_same(found.networks["D"], D)


def test_files_without_any_attributes_are_read_by_their_shapes():
    def change(content):
        for name in ("G_ema", "G", "D"):
            for inner in every_part(content[name]):
                inner.state = {key: value for key, value in inner.state.items() if key in ("_parameters", "_buffers", "_modules")}

    G, D = networks()
    found = read_weights(official(G, D, change=change))
    assert found.spec == SPEC
    assert_same(found.networks["D"], D)


@pytest.mark.parametrize("frozen", [1, 2])
def test_layers_that_were_frozen_are_found_among_the_buffers(frozen):
    G, D = networks()
    assert_same(read_weights(official(G, D, frozen=frozen)).networks["D"], D)


def test_the_averaged_generator_can_be_read_alone():
    G, D = networks()
    assert read_weights(official(G, D), only_generator=True).networks.keys() == {"G_average"}
    assert read_weights(official(G)).networks.keys() == {"G_average"}


def test_a_label_mapping_from_tensorflow_does_the_same_at_our_learning_rate():
    spec = VARIANTS["labels"]
    G, D = networks(spec)
    found = read_weights(official(G, D, d_lr=0.1))
    assert "scaled from a learning-rate multiplier of 0.1 to 0.01" in found.facts["notes"][0]
    ours = Discriminator(spec)
    ours.load_state_dict({name: torch.from_numpy(array) for name, array in found.networks["D"].items()})
    labels = torch.eye(3)
    for i in range(8):
        layer = D.mapping.get_submodule(f"fc{i}")
        layer.weight_gain, layer.bias_gain = layer.weight_gain * 10, layer.bias_gain * 10
    torch.testing.assert_close(ours.mapping(labels), D.mapping(labels), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64, torch.bfloat16])
def test_other_number_formats_become_float32(dtype):
    G, _ = networks()
    for value in G.state_dict().values():
        value.copy_(value.to(torch.bfloat16).clamp(-1000, 1000))
    assert_same(read_weights(official(G, dtype=dtype)).networks["G_average"], G)


def test_weights_in_another_memory_order_are_read_in_theirs():
    G, D = networks()
    G.to(memory_format=torch.channels_last)
    plain, _ = networks()
    assert_same(read_weights(official(G)).networks["G_average"], plain)


@pytest.mark.parametrize("is_zip", [True, False])
@pytest.mark.parametrize("name", ["plain", "eight layers", "grey", "64 px"])
def test_a_rosinality_file_gives_every_tensor_bit_for_bit(name, is_zip):
    spec = VARIANTS[name]
    G, D = networks(spec)
    found = read_weights(rosinality(G, D, is_zip=is_zip))
    assert found.spec == spec
    assert found.facts == {"layout": "rosinality/stylegan2-pytorch", "notes": []}
    assert_same(found.networks["G_average"], G)
    assert_same(found.networks["G"], G)
    assert_same(found.networks["D"], D)


def test_a_missing_mean_latent_is_made_from_the_mapping_network():
    G, _ = networks()
    found = read_weights(rosinality(G, with_mean=False))
    assert "mean of 4096 latents" in found.facts["notes"][0]
    from hdgan.randomness import stream

    z = torch.from_numpy(stream(0, "generator.mean-latent").standard_normal((4096, SPEC.z_dim), dtype=np.float32))
    with torch.no_grad():
        expected = G.mapping(z).mean(dim=0)
    torch.testing.assert_close(torch.from_numpy(found.networks["G_average"]["mapping.w_avg"]), expected, rtol=1e-4, atol=1e-5)


def test_a_file_without_noise_maps_gives_a_network_whose_images_have_their_own():
    G, _ = networks()
    found = read_weights(rosinality(G, with_noise=False))
    assert found.spec == replace(SPEC, noise_maps="own")
    assert found.networks["G_average"].keys() == Generator(found.spec).state_dict().keys()


def test_the_published_widths_follow_from_the_weights():
    from hdgan.generator.foreign.fit import channel_rule

    for base, most in ((32768, 512), (16384, 512), (65536, 512), (2048, 128), (8192, 256)):
        widths = {2**i: min(base // 2**i, most) for i in range(2, 11)}
        found = channel_rule(widths)
        assert {r: min(found[0] // r, found[1]) for r in widths} == widths
    with pytest.raises(Refused, match="channels must follow"):
        channel_rule({4: 8, 8: 6, 16: 8})
