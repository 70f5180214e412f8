from __future__ import annotations

import logging
import shutil
import sys
import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from hdgan.errors import BadInput, MissingExtra
from hdgan.measures.encoder import OnnxEncoder

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


def network(num_features=5):
    torch.manual_seed(3)
    return nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, num_features)).eval()


def export(path, module, *, shape=(2, 3, 24, 24), free=(0,), external_data=False):
    """Writes `module` as ONNX; the axes `free` of its input have no fixed length."""
    before = logging.getLogger("torch.onnx").level
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dimensions = (dict.fromkeys(free, torch.export.Dim.AUTO),)
            torch.onnx.export(
                module, (torch.rand(shape),), path, dynamo=True, dynamic_shapes=dimensions, external_data=external_data, verbose=False
            )
    finally:
        logging.getLogger("torch.onnx").setLevel(before)
    return path


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return export(tmp_path_factory.mktemp("encoder") / "tiny.onnx", network())


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 255, (37, 24, 24, 3), dtype=np.uint8)


@pytest.mark.parametrize(("takes", "mean", "std"), [("half", 0.5, 0.5), ("unit", 0.0, 1.0)])
def test_features_are_those_of_the_network_itself(encoder, images, takes, mean, std):
    pixels = (torch.from_numpy(images).permute(0, 3, 1, 2) / 255 - mean) / std
    with torch.no_grad():
        expected = network()(pixels).numpy()
    found = OnnxEncoder(encoder, takes=takes)
    assert found.num_features == 5
    np.testing.assert_allclose(found.embed(images), expected, atol=2e-6)


def test_imagenets_means_and_spreads_are_the_first_choice(encoder, images):
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2) / 255
    pixels = (pixels - torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)) / torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    with torch.no_grad():
        expected = network()(pixels).numpy()
    np.testing.assert_allclose(OnnxEncoder(encoder).embed(images), expected, atol=5e-6)


def test_images_of_another_size_are_resized_where_the_network_fixes_one(encoder, images):
    large = np.stack([np.asarray(Image.fromarray(image).resize((48, 48))) for image in images[:3]])
    small = np.stack([np.asarray(Image.fromarray(image).resize((24, 24), Image.Resampling.BICUBIC)) for image in large])
    found = OnnxEncoder(encoder)
    np.testing.assert_array_equal(found.embed(large), found.embed(small))


def test_a_network_without_a_fixed_size_or_with_a_fixed_number_of_images_gives_the_same(encoder, images, tmp_path):
    expected = OnnxEncoder(encoder).embed(images)
    free = OnnxEncoder(export(tmp_path / "free.onnx", network(), shape=(2, 3, 32, 32), free=(0, 2, 3)))
    fixed = OnnxEncoder(export(tmp_path / "fixed.onnx", network(), shape=(4, 3, 24, 24), free=()))
    np.testing.assert_allclose(free.embed(images), expected, atol=2e-6)
    np.testing.assert_allclose(fixed.embed(images), expected, atol=2e-6)


def test_the_hash_is_that_of_weights_and_input_range(encoder, tmp_path):
    copy = tmp_path / "renamed.onnx"
    shutil.copy(encoder, copy)
    torch.manual_seed(9)
    other = network()
    with torch.no_grad():
        other[0].weight.mul_(1.5)
    assert OnnxEncoder(copy).content_hash == OnnxEncoder(encoder).content_hash
    assert OnnxEncoder(copy, takes="unit").content_hash != OnnxEncoder(encoder).content_hash
    assert OnnxEncoder(export(tmp_path / "other.onnx", other)).content_hash != OnnxEncoder(encoder).content_hash


def test_the_hash_covers_weights_that_are_stored_beside_the_file(tmp_path):
    path = export(tmp_path / "large.onnx", network(), external_data=True)
    before, data = OnnxEncoder(path).content_hash, tmp_path / "large.onnx.data"
    altered = bytearray(data.read_bytes())
    altered[0] ^= 1
    data.write_bytes(altered)
    assert OnnxEncoder(path).content_hash != before


def test_what_is_no_encoder_is_refused_in_one_line(tmp_path):
    with pytest.raises(BadInput, match="no such encoder"):
        OnnxEncoder(tmp_path / "missing.onnx")
    (tmp_path / "noise.onnx").write_bytes(b"\x80\x04 no model")
    with pytest.raises(BadInput, match="onnxruntime cannot read it") as caught:
        OnnxEncoder(tmp_path / "noise.onnx")
    assert "\n" not in str(caught.value)
    with pytest.raises(BadInput, match=r"takes .*1, 24, 24"):
        OnnxEncoder(export(tmp_path / "grey.onnx", nn.Conv2d(1, 2, 3), shape=(2, 1, 24, 24)))
    with pytest.raises(BadInput, match=r"gives \(1, 2, 22, 22\) for 1 images"):
        OnnxEncoder(export(tmp_path / "map.onnx", nn.Conv2d(3, 2, 3)))


@pytest.mark.parametrize("threads", ["2,1", "", "many"])
def test_whatever_the_number_of_threads_is_said_to_be_the_features_are_the_same(encoder, images, monkeypatch, threads):
    expected = OnnxEncoder(encoder).embed(images)
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    np.testing.assert_allclose(OnnxEncoder(encoder).embed(images), expected, atol=2e-6)


def test_without_onnxruntime_the_extra_is_named(encoder, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtra, match=r"hdgan\[onnx\]"):
        OnnxEncoder(encoder)
