from __future__ import annotations

import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest

from hdgan.classifier.ensemble import Prediction
from hdgan.evaluation.config import EvaluationConfig
from hdgan.evaluation.held_out import measure_held_out
from hdgan.labels import ClassMap, LabelClass
from hdgan.measures.scores import score
from hdgan.progress import SILENT
from hdgan.refinement.config import RefinementConfig

CLASSES = ClassMap((LabelClass("dark", "#000000"), LabelClass("bright", "#ffffff")))
SIZE = 192
CONFIG = EvaluationConfig(panels=2, refinement=RefinementConfig(radius_px=0))


def truth_of(name: str) -> np.ndarray:
    mask = np.zeros((SIZE, SIZE), dtype=np.uint8)
    mask[:, SIZE // 2 :] = 1
    return mask


def predicted(name: str) -> Prediction:
    """Image i has its first 7 i % 11 rows wrong, where it is unsure."""
    num_wrong = 7 * int(name) % 11
    mask = truth_of(name)
    mask[:num_wrong] = 1 - mask[:num_wrong]
    doubt = np.full((SIZE, SIZE), 0.01, dtype=np.float32)
    doubt[:num_wrong] = 0.5
    chances = np.stack([1 - mask, mask]).astype(np.float32)
    return Prediction(mask, doubt, doubt, 1 - doubt / 2, chances)


def measured(num: int, config: EvaluationConfig = CONFIG):
    names = [f"{i:02d}" for i in range(num)]
    ensemble = SimpleNamespace(predict=lambda name, **_: predicted(name))
    maps = SimpleNamespace(maps=lambda name: name)
    bank = SimpleNamespace(by_name=lambda name: SimpleNamespace(index=int(name)), image=lambda _: np.zeros((SIZE, SIZE, 3), np.uint8))
    annotated = SimpleNamespace(
        classes=CLASSES, resolution=SIZE, mask=truth_of, blend=lambda _: np.zeros((SIZE, SIZE), np.bool_), split={"test": names}
    )
    return measure_held_out(ensemble, {"test": names, "validate": names[:1]}, config, annotated, bank, maps, progress=SILENT)


def test_images_are_counted_in_their_order_and_the_unsure_ones_are_the_wrong_ones():
    held_out = measured(6)
    test = held_out["test"]
    assert test.counts.names == tuple(f"{i:02d}" for i in range(6))
    assert [1 - score(matrix).pixel_accuracy for matrix in test.counts.matrices] == pytest.approx([7 * i % 11 / SIZE for i in range(6)])
    assert np.array_equal(test.counts.matrices, test.cleaned.matrices)  # the clean-up is off
    found = test.sureness()
    assert found["certainty"]["auroc"] == 1.0
    assert found["certainty"]["accuracy_of_all"] == score(test.counts.matrices.sum(axis=0)).pixel_accuracy
    assert found["certainty"]["accuracy_of_most_certain_90_percent"] == 1.0
    assert found["image_uncertainty"]["00"] == pytest.approx(0.01)
    assert sum(found["reliability"]["counts"]) == 6 * SIZE**2
    assert held_out["validate"].counts.names == ("00",)


def test_the_panels_are_those_of_the_worst_test_images_the_worst_first():
    held_out = measured(6)
    assert [(panel.prediction != panel.truth)[:, 0].sum() for panel in held_out["test"].panels] == [10, 7]
    assert [panel.name for panel in held_out["test"].panels] == ["03", "01"]
    assert held_out["validate"].panels == []


def test_memory_does_not_grow_with_the_number_of_images():
    def peak(num: int) -> int:
        tracemalloc.start()
        try:
            measured(num)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(3)  # what is imported or cached once
    assert peak(15) - peak(3) < SIZE**2  # not a byte for each pixel of the twelve more
