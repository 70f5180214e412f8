from __future__ import annotations

import numpy as np
import pytest
import torch

from hdgan.downstream.config import SegmenterConfig
from hdgan.downstream.segmenter import FILE, load_segmenter, save_segmenter, untrained
from hdgan.errors import BadInput, DamagedArtifact
from hdgan.labels import ClassMap, LabelClass

CLASSES = ClassMap((LabelClass("dark", "#000000"), LabelClass("light", "#ffffff"), LabelClass("other", "#ff0000")))
TINY = SegmenterConfig(channels=(4, 8, 8), num_res_units=1, dropout=0)


@pytest.fixture(scope="module")
def segmenter():
    made = untrained(TINY, classes=CLASSES, crop_px=32, mpp=2.0, name="nobody", seed=3)
    made.network.eval()
    return made


def _image(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("size", [(32, 32), (30, 17), (64, 40), (16, 97), (33, 97), (1, 1)])
def test_images_of_any_size_are_labelled(segmenter, size):
    mask = segmenter.predict(_image(*size))
    assert mask.shape == size
    assert mask.dtype == np.uint8
    assert mask.max() < len(CLASSES)


def test_probabilities_add_up_to_one(segmenter):
    np.testing.assert_allclose(segmenter.probabilities(_image(70, 50)).sum(axis=0), 1, atol=1e-5)


def test_an_image_turned_by_a_quarter_is_labelled_alike(segmenter):
    image = _image(32, 32, 4)
    turned = segmenter.probabilities(np.ascontiguousarray(np.rot90(image)))
    np.testing.assert_allclose(np.rot90(segmenter.probabilities(image), axes=(1, 2)), turned, atol=1e-5)


def test_a_single_window_is_what_the_network_says(segmenter):
    plain = untrained(TINY.model_copy(update={"average_turns": False}), classes=CLASSES, crop_px=32, mpp=2.0, name="nobody", seed=3)
    plain.network.eval()
    image = _image(32, 32, 8)
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255 - 0.5
    with torch.inference_mode():
        expected = torch.softmax(plain.network(pixels), dim=1)[0].numpy()
    np.testing.assert_allclose(plain.probabilities(image), expected, atol=1e-6)


def test_a_saved_segmenter_predicts_the_same(segmenter, tmp_path):
    save_segmenter(tmp_path / FILE, segmenter, facts={"pairs": 3})
    loaded = load_segmenter(tmp_path / FILE)
    assert (loaded.config, loaded.classes, loaded.crop_px, loaded.mpp, loaded.name) == (TINY, CLASSES, 32, 2.0, "nobody")
    np.testing.assert_array_equal(loaded.probabilities(_image(40, 40)), segmenter.probabilities(_image(40, 40)))


def test_equal_segmenters_are_equal_files(segmenter, tmp_path):
    save_segmenter(tmp_path / "a", segmenter)
    save_segmenter(tmp_path / "b", segmenter)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_missing_or_altered_file_is_refused(segmenter, tmp_path):
    with pytest.raises(BadInput, match="no such segmenter"):
        load_segmenter(tmp_path / FILE)
    save_segmenter(tmp_path / FILE, segmenter)
    data = bytearray((tmp_path / FILE).read_bytes())
    data[-5] ^= 1
    (tmp_path / FILE).write_bytes(bytes(data))
    with pytest.raises(DamagedArtifact, match="digest"):
        load_segmenter(tmp_path / FILE)


def test_what_is_no_image_is_refused(segmenter):
    with pytest.raises(ValueError, match="8-bit RGB"):
        segmenter.predict(np.zeros((8, 8), np.uint8))
