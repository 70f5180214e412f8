from __future__ import annotations

import numpy as np
import pytest

from hdgan.downstream.config import SegmenterConfig
from hdgan.downstream.control import unet_predictor
from hdgan.downstream.sets import PairSets
from hdgan.errors import BadInput

from .conftest import CLASSES

SMALL = SegmenterConfig(channels=(8, 8, 8), num_res_units=1, dropout=0, steps=40, batch=4, learning_rate=1e-2)


def test_the_control_labels_images_after_learning_a_few(real_folder):
    sets = PairSets(real_folder)
    few, test = sets.tiles("fit"), sets.tiles("test")
    predict = unet_predictor(few.images, few.masks, CLASSES, config=SMALL, mpp=2.0, seed=1)
    right = np.mean([(predict(image) == mask).mean() for image, mask in zip(test.images, test.masks, strict=True)])
    assert right > 0.75


def test_the_control_without_images_is_refused():
    with pytest.raises(BadInput, match="0 images"):
        unet_predictor([], [], CLASSES, config=SMALL)
