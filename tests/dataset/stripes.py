"""A stand-in for generator and classifier whose masks are known; run as a program it writes a dataset, to be killed from outside."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np

from hdgan.dataset.candidates import Labelled
from hdgan.dataset.card import Origin
from hdgan.dataset.config import DatasetConfig
from hdgan.dataset.stage import make_dataset
from hdgan.labels import ClassMap, LabelClass

CLASSES = ClassMap((LabelClass("left", "#0000ff"), LabelClass("right", "#ff0000"), LabelClass("none", "#00ff00")))
INPUTS = {"generator": "g" * 64, "classifier": "c" * 64}
SIZE = 16


class Stripes:
    """The first value of z says where the image is cut, the second how uncertain it is."""

    classes = CLASSES
    z_dim = 4
    mpp = 2.0

    def __init__(self, wait_s: float = 0.0) -> None:
        self.wait_s = wait_s
        self.calls = 0

    def __call__(self, z: np.ndarray) -> Labelled:
        self.calls += 1
        time.sleep(self.wait_s)
        cut = 4 + int(8 / (1 + np.exp(-z[0])))
        mask = np.zeros((SIZE, SIZE), np.uint8)
        mask[:, cut:] = 1
        image = np.repeat((mask * 100 + 60)[..., None], 3, axis=2).astype(np.uint8)
        uncertainty = np.full((SIZE, SIZE), 0.01, np.float32)
        uncertainty[:, cut - 1 : cut + 1] = 0.5 / (1 + np.exp(-z[1]))
        return Labelled(z * np.float32(0.7), image, mask, uncertainty)


def make(config: DatasetConfig, out: Path, *, label: Stripes | None = None, seed: int = 4, redo: bool = False):
    """The manifest of a dataset of stripes."""
    origin = Origin("g" * 64, "c" * 64, "the stripes themselves", 5)
    return make_dataset(config, lambda: (label or Stripes(), origin), inputs=INPUTS, out=out, seed=seed, redo=redo)


if __name__ == "__main__":
    make(DatasetConfig.model_validate(json.loads(sys.argv[2])), Path(sys.argv[1]), label=Stripes(float(sys.argv[3])))
