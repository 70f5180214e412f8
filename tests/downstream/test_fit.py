from __future__ import annotations

import numpy as np
import pytest

from hdgan.downstream.config import SegmenterConfig
from hdgan.downstream.fit import HeldPairs, JoinedPairs, common_crop, fit_segmenter, rate
from hdgan.errors import BadInput, Diverged
from hdgan.labels import ClassMap, LabelClass

CLASSES = ClassMap((LabelClass("smooth", "#000000"), LabelClass("striped", "#ffffff")))
TINY = SegmenterConfig(
    channels=(8, 8, 8), num_res_units=1, dropout=0.1, steps=60, batch=4, crop_px=32, learning_rate=5e-3, checkpoint_steps=4
)


def _stripes(count, size=48, seed=0):
    """Images of one mean grey where only texture tells the half that is striped."""
    images, masks = [], []
    for index in range(count):
        rng = np.random.default_rng([seed, index])
        mask = np.zeros((size, size), np.uint8)
        cut = int(rng.integers(size // 3, 2 * size // 3))
        mask[:, cut:] = 1
        if rng.random() < 0.5:
            mask = mask.T.copy()
        pattern = ((np.add.outer(np.arange(size), np.arange(size)) // 2) % 2) * 80 - 40
        grey = 128 + mask * pattern + rng.integers(-10, 11, (size, size))
        images.append(np.repeat(grey[..., None], 3, axis=2).astype(np.uint8))
        masks.append(mask)
    return HeldPairs(images, masks)


def _fit(config=TINY, **more):
    return fit_segmenter(_stripes(6), config, classes=CLASSES, mpp=1.0, name="stripes", seed=5, **more)


def test_it_learns_texture_and_a_repeat_is_the_same_to_the_bit():
    first, second = _fit(), _fit()
    unseen = _stripes(4, seed=9)
    right = np.mean([(first.predict(image) == mask).mean() for image, mask in zip(unseen.images, unseen.masks, strict=True)])
    assert right > 0.9
    for name, value in first.network.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), second.network.state_dict()[name].numpy(), err_msg=name)


def test_a_training_cut_off_anywhere_goes_on_to_the_same_bits(tmp_path):
    config = TINY.model_copy(update={"steps": 14})
    whole = _fit(config)

    class Stop(Exception):
        pass

    class CutOff:
        """Listens like a progress bar and stops the training at one step."""

        def __init__(self, at):
            self.left = at

        def start(self, label, *, total, done=0):
            self.done = done

        def advance(self, steps=1, *, note=""):
            self.left -= 1
            if self.left == 0:
                raise Stop

        def finish(self):
            pass

        def say(self, line):
            pass

    for at in (3, 6):
        with pytest.raises(Stop):
            _fit(config, state=tmp_path, progress=CutOff(at))
    listener = CutOff(1000)
    resumed = _fit(config, state=tmp_path, progress=listener)
    assert listener.done == 4
    for name, value in whole.network.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), resumed.network.state_dict()[name].numpy(), err_msg=name)


def test_a_state_of_other_settings_is_not_resumed(tmp_path):
    config = TINY.model_copy(update={"steps": 6})
    _fit(config, state=tmp_path)
    other = config.model_copy(update={"learning_rate": 1e-4})
    fresh = _fit(other)
    for name, value in _fit(other, state=tmp_path).network.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), fresh.network.state_dict()[name].numpy(), err_msg=name)


def test_the_rate_rises_then_falls():
    rates = [rate(step, 1000) for step in range(1000)]
    assert max(rates) == pytest.approx(1)
    assert np.argmax(rates) in (49, 50)
    assert (np.diff(rates[50:]) < 0).all()
    assert rates[0] < 0.05
    assert rates[-1] < 0.02


def test_the_crop_fits_the_smallest_image():
    pairs = HeldPairs(
        [np.zeros((70, 61, 3), np.uint8), np.zeros((90, 90, 3), np.uint8)], [np.zeros((70, 61), np.uint8), np.zeros((90, 90), np.uint8)]
    )
    assert common_crop(pairs, stride_px=8) == 56
    with pytest.raises(BadInput, match="least edge"):
        common_crop(pairs, stride_px=64)


def test_a_crop_larger_than_an_image_is_refused():
    with pytest.raises(BadInput, match="larger than an image"):
        _fit(TINY.model_copy(update={"crop_px": 64}))


def test_no_pairs_at_all_are_refused():
    with pytest.raises(BadInput, match="0 images"):
        HeldPairs([], [])


def test_a_training_that_leaves_the_numbers_says_so():
    with pytest.raises(Diverged, match="not finite"):
        _fit(TINY.model_copy(update={"learning_rate": 1.0, "weight_decay": 1e38, "steps": 60}))


def test_joined_sets_come_in_turn_and_the_smaller_repeats():
    few, many = _stripes(2), _stripes(5, seed=1)
    joined = JoinedPairs(few, many)
    assert len(joined) == 10
    for index in range(10):
        source = (few, many)[index % 2]
        np.testing.assert_array_equal(joined.pair(index)[0], source.images[(index // 2) % len(source)])
