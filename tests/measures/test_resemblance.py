from __future__ import annotations

import json

import numpy as np
import pytest

from hdgan.measures.embedder import Scale
from hdgan.measures.resemblance import resemblance


def test_a_better_set_is_nearer_and_covers_more_and_all_numbers_are_plain_data():
    r = np.random.default_rng(0)
    real, good, bad = r.normal(size=(80, 4)), r.normal(size=(80, 4)), r.normal(1.5, 0.5, size=(80, 4))
    scale = Scale(real)
    near, far = (resemblance(set_, real=real, scale=scale) for set_ in (good, bad))
    assert near.frechet < far.frechet
    assert near.kernel.mean < far.kernel.mean
    assert near.shares.coverage > far.shares.coverage
    assert json.loads(json.dumps(near.to_json())).keys() == {"frechet", "kernel", "precision", "recall", "density", "coverage"}
    assert near.to_json()["kernel"]["mean"] == near.kernel.mean


def test_a_few_items_are_not_enough():
    few = np.zeros((5, 2))
    with pytest.raises(ValueError, match="no 5 neighbours"):
        resemblance(few, real=few, scale=Scale(few))
