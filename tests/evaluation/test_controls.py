from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from hdgan.classifier.pixels import masks_of
from hdgan.evaluation import controls
from hdgan.evaluation.controls import MappedImages, in_order

NAMES = ("a", "b", "c")
TRUTH = SimpleNamespace(mask=lambda name: np.full((4, 4), NAMES.index(name), np.uint8))


class Made:
    """Maps of 64 bytes that count how often they are made."""

    def __init__(self):
        self.names = []

    def __call__(self, name):
        self.names.append(name)
        return (torch.full((1, 4, 4), float(NAMES.index(name))),)


def test_images_are_made_when_asked_for_and_only_once_where_they_fit():
    made = Made()
    images = MappedImages(made, TRUTH, NAMES)
    assert made.names == []
    for _ in range(2):
        for number, (maps, mask) in enumerate(images):
            assert maps[0].unique().item() == number
            assert (mask == number).all()
    assert made.names == ["a", "b", "c"]
    assert [mask[0, 0] for _, mask in images[1:]] == [1, 2]
    assert len(images) == 3


@pytest.mark.parametrize(("budget", "expected"), [(0, "abcabc"), (64, "abcbc"), (2 * 64, "abcc"), (3 * 64, "abc")])
def test_what_does_not_fit_is_made_again(budget, expected, monkeypatch):
    monkeypatch.setattr(controls, "_HELD_BYTES", budget)
    made = Made()
    images = MappedImages(made, TRUTH, NAMES)
    for _ in range(2):
        assert len(list(images)) == 3
    assert "".join(made.names) == expected


def test_ours_comes_first_then_known_controls_then_others():
    assert in_order(["z", "constant", "unet", "hdgan", "filters"]) == ["hdgan", "filters", "unet", "constant", "z"]


def test_masks_alone_make_no_map():
    def made(name):
        raise AssertionError(f"the maps of {name} were made")

    assert len(masks_of(MappedImages(made, TRUTH, NAMES))) == len(NAMES)
