from __future__ import annotations

import json

import pytest
import torch

from hdgan.classifier import fit as classifier_fit
from hdgan.classifier.config import ClassifierConfig
from hdgan.classifier.member import new_member
from hdgan.downstream.config import SegmenterConfig
from hdgan.downstream.fit import fit_segmenter
from hdgan.labels import KIDNEY
from hdgan.training.dropout import Dropout

from .scripts import loaded, printed

SCRIPT = "downstream_speed.py"


def test_each_way_has_a_row_and_its_ratio_to_the_plain_one(tmp_path):
    toy = ("--size", 16, "--batch", 2, "--steps", 2, "--pixels", 2048, "--channels", 8, "--rounds", 1)
    lines = printed(SCRIPT, *toy, "--out", tmp_path / "rows.json")
    found = json.loads((tmp_path / "rows.json").read_text())
    rows = found["rows"]
    assert found["threads"] == 1
    assert [(row["training"], row["way"]) for row in rows] == [
        *(("segmenter", way) for way in ("plain", "cheap dropout", "fused Adam", "channels last", "ours")),
        *(("classifier", way) for way in ("plain", "cheap dropout", "fused Adam", "ours")),
    ]
    plain = {row["training"]: row["per_second"] for row in rows if row["way"] == "plain"}
    for line, row in zip(lines, rows, strict=True):
        assert row["ratio"] == pytest.approx(row["per_second"] / plain[row["training"]])
        assert line.startswith(row["training"])
        assert line.endswith(f"{row['ratio']:.2f} x")


def segmenter_of(pieces):
    """Its network and the outputs of it, trained for two steps without dropout by the ways named."""
    script = loaded(SCRIPT)
    with script.only(pieces):
        config = SegmenterConfig(channels=(4, 8, 8), crop_px=16, batch=2, steps=2, dropout=0.0)
        made = fit_segmenter(script._pairs(16), config, classes=KIDNEY, mpp=2.0, name="one", seed=0)
    return made.network.state_dict()


def test_without_dropout_the_plain_way_trains_the_same_segmenter():
    script = loaded(SCRIPT)
    plain, ours = segmenter_of(()), segmenter_of(script.PIECES["segmenter"])
    assert plain.keys() == ours.keys()
    for name, value in plain.items():
        torch.testing.assert_close(value, ours[name], rtol=1e-3, atol=1e-4)


def test_without_dropout_the_plain_way_trains_the_same_classifier():
    script, weights = loaded(SCRIPT), []
    features, labels = torch.randn(64, 6, generator=torch.Generator().manual_seed(0)), torch.arange(64) % 3
    config = ClassifierConfig(hidden=(8, 4), dropout=0.0, batch_pixels=16, lr=1e-3, loss="cross-entropy")
    for pieces in ((), script.PIECES["classifier"]):
        with script.only(pieces):
            member = new_member(config, num_in=6, num_classes=3, seed=0, number=0)
            torch.manual_seed(0)
            classifier_fit._epoch(member, features, labels, config, weights=None)
            weights.append(torch.cat([value.flatten() for value in member.model.parameters()]))
    torch.testing.assert_close(*weights, rtol=1e-4, atol=1e-5)


def test_the_plain_way_has_none_of_the_fast_pieces_and_leaves_ours_as_it_was():
    script = loaded(SCRIPT)
    config = ClassifierConfig()
    make = {"num_in": 6, "num_classes": 3, "seed": 0, "number": 0}
    with script.only(()):
        member = new_member(config, **make)
        assert type(member.model.dropouts[0]) is torch.nn.Dropout
        assert not member.optimiser.defaults["fused"]
        segmenter = script.segmenter_fit.untrained(SegmenterConfig(), classes=KIDNEY, crop_px=32, mpp=1.0, name="n", seed=0)
        assert all(value.is_contiguous() for value in segmenter.network.parameters())
        assert not any(isinstance(part, Dropout) for part in segmenter.network.modules())
    ours = new_member(config, **make)
    assert type(ours.model.dropouts[0]) is Dropout
    assert ours.optimiser.defaults["fused"]
    segmenter = script.segmenter_fit.untrained(SegmenterConfig(), classes=KIDNEY, crop_px=32, mpp=1.0, name="n", seed=0)
    assert any(not value.is_contiguous() for value in segmenter.network.parameters())
    assert any(isinstance(part, Dropout) for part in segmenter.network.modules())
