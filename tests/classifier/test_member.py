from __future__ import annotations

import math

import pytest
import torch

from hdgan.classifier.config import ClassifierConfig
from hdgan.classifier.member import Epoch, Stall, load_member, new_member, save_member

CONFIG = ClassifierConfig(hidden=(6,), dropout=0.0, epochs=20, keep="macro-dice")


def member(config=CONFIG):
    return new_member(config, num_in=4, num_classes=3, seed=0, number=0)


def after(merits, keep, config=CONFIG):
    """A member whose epochs came to (macro Dice, loss); its bias tells the epoch."""
    made = member(config)
    for i, (dice, loss) in enumerate(merits):
        torch.nn.init.constant_(made.model.linears[-1].bias, i)
        made.note(Epoch(0, i, 1.0, dice, loss), keep=keep)
    return made


@pytest.mark.parametrize(("keep", "kept"), [("macro-dice", 1), ("loss", 3), ("last", 4)])
def test_the_weights_kept_are_those_of_the_best_epoch_by_what_is_asked_for(keep, kept):
    made = after([(0.2, 1.0), (0.5, 0.9), (0.5, 0.8), (0.4, 0.5), (0.3, 0.6)], keep)
    assert made.best_epoch(keep) == kept
    assert float(made.best.linears[-1].bias[0].detach()) == kept
    assert not made.best.training


def test_without_validation_images_the_last_is_kept():
    made = after([(math.nan, math.nan)] * 3, "macro-dice")
    assert float(made.best.linears[-1].bias[0].detach()) == 2


def test_patience_ends_a_training_that_no_longer_improves():
    config = CONFIG.model_copy(update={"patience": 2})
    merits = [(0.2, 1.0), (0.5, 1.0), (0.4, 1.0)]
    assert not after(merits, "macro-dice", config).is_done(config)
    assert after([*merits, (0.5, 1.0)], "macro-dice", config).is_done(config)
    assert not after([*merits, (0.6, 1.0)], "macro-dice", config).is_done(config)
    assert not after([*merits, (0.5, 1.0)], "macro-dice").is_done(CONFIG)
    assert after([(0.1, 1.0)] * 20, "macro-dice").is_done(CONFIG)


def test_a_stall_is_batches_in_a_row_without_a_new_lowest_loss():
    stall = Stall()
    counted = []
    for loss in (3.0, 2.0, 2.0, 2.5, 1.9, 4.0):
        stall.note(loss)
        counted.append(stall.num_batches)
    assert counted == [0, 0, 1, 2, 0, 1]
    assert stall.lowest == 1.9


def test_a_stored_member_goes_on_with_its_curve_and_its_stall(tmp_path):
    made = after([(0.2, 1.0), (math.nan, math.nan)], "last")
    made.stall.note(0.7)
    made.stall.note(0.8)
    made.is_stalled = True
    save_member(tmp_path / "m", made)
    again = member()
    assert load_member(tmp_path / "m", again)
    assert (again.stall, again.is_stalled, again.curve[0]) == (Stall(0.7, 1), True, made.curve[0])
    assert math.isnan(again.curve[1].macro_dice)
    save_member(tmp_path / "fresh", member())
    assert load_member(tmp_path / "fresh", again)
    assert again.stall == Stall()


def test_initial_weights_are_as_wide_as_asked():
    wide = new_member(CONFIG.model_copy(update={"init_std": 0.02, "hidden": (400,)}), num_in=100, num_classes=3, seed=0, number=0)
    assert float(wide.model.linears[0].weight.detach().std()) == pytest.approx(0.02, rel=0.02)
    assert float(wide.model.linears[0].bias.detach().abs().max()) == 0
