from __future__ import annotations

import logging

import numpy as np
import pytest
import torch

from hdgan.errors import MissingExtra
from hdgan.generator import export
from hdgan.generator.export import export_generator, noise_inputs, onnx_difference
from hdgan.generator.networks import Generator
from hdgan.generator.spec import NetworkSpec
from hdgan.generator.weights import TrainedGenerator

BLOCKS = 2


def generator_with(noise_maps):
    torch.manual_seed(0)
    spec = NetworkSpec(
        resolution=16,
        z_dim=8,
        w_dim=8,
        channel_base=128,
        channel_max=8,
        noise_maps=noise_maps,
        start="latent" if noise_maps == "own" else "constant",
    )
    network = Generator(spec)
    for name, parameter in network.named_parameters():
        if name.endswith("noise_strength"):
            parameter.data.fill_(0.3)
    return TrainedGenerator(network, mpp=2.0)


@pytest.fixture(scope="module", params=["own", "shared"])
def generator(request):
    return generator_with(request.param)


def test_onnxruntime_draws_the_same_images_and_maps_for_any_number_of_latents(generator, tmp_path):
    module = export_generator(generator, tmp_path / "g.onnx", form="onnx", num_blocks=BLOCKS)
    assert module.output_names == ["image", "b8.conv0", "b8.conv1", "b16.conv0", "b16.conv1"]
    layers = ["b4.conv1", "b8.conv0", "b8.conv1", "b16.conv0", "b16.conv1"] if generator.has_own_noise else []
    assert module.input_names == ["w", *(f"noise.{name}" for name in layers)]
    assert onnx_difference(generator, tmp_path / "g.onnx", num_blocks=BLOCKS) < 1e-5


def test_the_check_notices_other_weights(generator, tmp_path):
    export_generator(generator, tmp_path / "g.onnx", form="onnx", num_blocks=BLOCKS)
    changed = TrainedGenerator(generator_with(generator.spec.noise_maps).network, mpp=2.0)
    changed.network.synthesis.b16.torgb.bias.data += 0.01
    assert onnx_difference(changed, tmp_path / "g.onnx", num_blocks=BLOCKS) > export.TOLERANCE


@pytest.mark.filterwarnings("ignore:The given buffer is not writable")  # torch 2.11 warns of its own reading
def test_the_exported_program_is_read_back_by_torch_with_the_same_numbers(generator, tmp_path):
    export_generator(generator, tmp_path / "g.pt2", form="torch", num_blocks=BLOCKS)
    program = torch.export.load(str(tmp_path / "g.pt2")).module()
    w = generator.map(torch.randn(3, 8, generator=torch.Generator().manual_seed(5)), psi=0.7)
    image, maps = generator.render_taps(w, num_blocks=BLOCKS)
    for found, ours in zip(program(w, *noise_inputs(generator, w)), (image, *maps), strict=True):
        np.testing.assert_allclose(found.detach().numpy(), ours.numpy(), rtol=0, atol=1e-6)


def test_a_missing_library_is_named_with_the_extra_that_holds_it(monkeypatch, tmp_path):
    monkeypatch.setattr(export, "require", lambda module, extra: (_ for _ in ()).throw(MissingExtra(f"{module} {extra}")))
    with pytest.raises(MissingExtra, match="onnxscript onnx"):
        export_generator(generator_with("own"), tmp_path / "g.onnx", form="onnx", num_blocks=BLOCKS)
    assert list(tmp_path.iterdir()) == []


def test_exporting_leaves_logging_and_the_network_as_they_were(generator, tmp_path):
    level = logging.getLogger("torch.onnx").level
    export_generator(generator, tmp_path / "g.onnx", form="onnx", num_blocks=BLOCKS)
    assert logging.getLogger("torch.onnx").level == level
    assert not any(layer._forward_hooks for layer in generator.network.modules())
