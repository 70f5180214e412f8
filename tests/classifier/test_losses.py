from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from hdgan.classifier.losses import class_weights, dice_loss, prior_correction


def test_inverse_weights_give_every_class_the_same_say():
    labels = torch.tensor([0] * 6 + [1] * 3 + [2])
    weights = class_weights(labels, "inverse", num_classes=4)
    torch.testing.assert_close(weights, torch.tensor([10 / 18, 10 / 9, 10 / 3, 0.0]))
    assert float(weights[labels].mean()) == pytest.approx(1)
    root = class_weights(labels, "root", num_classes=4)
    assert float(root[labels].mean()) == pytest.approx(1)
    assert float(root[2] / root[0]) == pytest.approx(6**0.5)
    assert class_weights(labels, "none", num_classes=4) is None


@pytest.mark.parametrize("way", ["none", "inverse"])
def test_a_classifier_of_balanced_pixels_gets_back_the_posterior_of_the_true_shares(way):
    """Two values of one feature: everything is a table, and the best logits are logs of what was counted."""
    counts = np.array([[700, 200], [20, 80]])  # [class, value of the feature]
    true = counts[:, 1] / counts[:, 1].sum()
    drawn = np.round(counts * np.array([[0.1], [1.0]])).astype(int)  # class 1 ten times as often
    labels = torch.from_numpy(np.repeat([0, 1], drawn.sum(axis=1)))
    weights = class_weights(labels, way, num_classes=2)
    said = drawn[:, 1] * (np.ones(2) if weights is None else weights.numpy())
    logits = torch.from_numpy(np.log(said / said.sum())).float()
    assert abs(float(F.softmax(logits, dim=0)[1]) - true[1]) > 0.2
    corrected = F.softmax(logits + prior_correction(labels, weights, counts.sum(axis=1)), dim=0)
    np.testing.assert_allclose(corrected.numpy(), true, atol=1e-6)


def test_a_fair_draw_needs_no_correction_and_an_unseen_class_gets_none():
    labels = torch.tensor([0] * 30 + [2] * 10)
    correction = prior_correction(labels, None, np.array([3000, 0, 1000]))
    torch.testing.assert_close(correction, torch.zeros(3))


def test_the_dice_loss_is_one_minus_the_mean_dice_of_the_classes_in_the_batch():
    labels = torch.tensor([0, 0, 1, 1])
    assert float(dice_loss(50 * F.one_hot(labels, 3).float(), labels)) == pytest.approx(0, abs=1e-6)
    assert float(dice_loss(50 * F.one_hot(1 - labels, 3).float(), labels)) == pytest.approx(1)
    # Half of everything: 2 * 1 / (2 + 2) for either class.
    halves = torch.tensor([[0.0, 0.0, -50.0]]).expand(4, 3)
    assert float(dice_loss(halves, labels)) == pytest.approx(0.5)
