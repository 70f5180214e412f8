from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hdgan.downstream.losses import dice_ce


@given(seed=st.integers(0, 1000))
@settings(max_examples=20)
def test_what_is_ignored_has_no_influence(seed):
    rng = np.random.default_rng(seed)
    logits = torch.from_numpy(rng.normal(size=(2, 3, 8, 8)).astype(np.float32))
    labels = torch.from_numpy(rng.integers(0, 3, (2, 8, 8)))
    labels[:, :, 4:] = 255
    other = logits.clone()
    other[:, :, :, 4:] += torch.from_numpy(rng.normal(size=(2, 3, 8, 4)).astype(np.float32))
    assert dice_ce(logits, labels, dice_weight=1).item() == pytest.approx(dice_ce(other, labels, dice_weight=1).item(), rel=1e-6)


def test_cross_entropy_alone_is_that_of_torch():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn((2, 4, 8, 8), generator=generator)
    labels = torch.randint(0, 4, (2, 8, 8), generator=generator)
    labels[0, :3] = 255
    expected = torch.nn.functional.cross_entropy(logits, labels, ignore_index=255)
    assert dice_ce(logits, labels, dice_weight=0).item() == pytest.approx(expected.item(), rel=1e-6)


def test_a_perfect_prediction_costs_nothing_and_a_wrong_one_much():
    labels = torch.zeros((1, 8, 8), dtype=torch.long)
    labels[:, 4:] = 1
    right = torch.nn.functional.one_hot(labels, 3).movedim(-1, 1).float() * 60
    assert dice_ce(right, labels, dice_weight=1).item() < 1e-3
    assert dice_ce(right.flip(2), labels, dice_weight=1).item() > 10


def test_an_image_without_any_label_gives_zero_and_no_gradient():
    logits = torch.randn((1, 3, 8, 8), generator=torch.Generator().manual_seed(1)).requires_grad_()
    loss = dice_ce(logits, torch.full((1, 8, 8), 255), dice_weight=1)
    loss.backward()
    assert loss.item() == 0
    assert float(logits.grad.abs().sum()) == 0
