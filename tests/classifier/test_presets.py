from __future__ import annotations

import pytest
from pydantic import ValidationError

from hdgan.classifier import presets
from hdgan.classifier.config import ClassifierConfig


def test_what_the_paper_and_the_codes_say_stands_in_the_presets():
    paper, code, datasetgan, linear = (ClassifierConfig(preset=name) for name in ("hdgan-paper", "hdgan-code", "datasetgan", "linear"))
    assert (paper.optimiser, paper.lr, paper.momentum, len(paper.hidden), paper.members) == ("sgd", 1e-4, 0.0, 2, 1)
    assert (code.momentum, code.label_smoothing, code.dropouts, code.batch_pixels, code.epochs) == (0.9, 0.1, (0.3, 0.0), 65_536, 25)
    assert (code.input_noise, code.input_noise_chance, code.init_std) == (0.1, 0.5, 0.02)
    assert (datasetgan.members, datasetgan.optimiser, datasetgan.lr, datasetgan.batch_pixels) == (10, "adam", 1e-3, 64)
    assert (datasetgan.stall_batches, datasetgan.keep, datasetgan.dropouts, datasetgan.epochs) == (50, "last", (0.0, 0.0), 100)
    assert linear.hidden == ()
    for config in (paper, code, datasetgan, linear):
        assert (config.components, config.weight_decay, config.calibrate, config.prior_correction) == (None, 0.0, False, False)


def test_every_field_can_be_given_beside_a_preset_and_default_is_the_defaults():
    assert ClassifierConfig(preset="default") == ClassifierConfig()
    for name in presets.PRESETS:
        config = ClassifierConfig(preset=name, lr=0.5, members=2)
        plain = ClassifierConfig(preset=name)
        assert config.model_dump() == plain.model_dump() | {"lr": 0.5, "members": 2}


def test_a_recorded_configuration_is_read_back_as_it_was():
    for name in presets.PRESETS:
        config = ClassifierConfig(preset=name, epochs=7)
        assert ClassifierConfig.model_validate(config.model_dump(mode="json")) == config


def test_the_settings_of_earlier_versions_are_read():
    earlier = {"hidden": [128, 32], "dropout": 0.3, "members": 5, "optimiser": "adam", "lr": 1e-3, "momentum": 0.0, "weight_decay": 0.1}
    earlier |= {"epochs": 50, "batch_pixels": 1024, "pixels_per_image": 2048, "balance": 0.5, "label_smoothing": 0.0}
    assert ClassifierConfig.model_validate(earlier).hidden == (128, 32)


def test_every_preset_says_what_its_source_leaves_open():
    assert set(presets.OPEN) == set(presets.PRESETS)
    for name in presets.PRESETS:
        assert set(presets.fields(name)) <= set(ClassifierConfig.model_fields)
        assert ("features.image = false" in presets.OPEN[name]) == name.startswith("hdgan-")  # of another section than the classifier's


@pytest.mark.parametrize(
    "wrong", [{"preset": "stylegan"}, {"dropout": [0.3]}, {"dropout": [0.3, 1.0]}, {"hidden": [0]}, {"preset": "linear", "dropout": [0.1]}]
)
def test_what_does_not_fit_is_refused_by_name(wrong):
    with pytest.raises(ValidationError, match=next(reversed(wrong))):
        ClassifierConfig.model_validate(wrong)


def test_few_pixels_make_smaller_batches_not_fewer_steps():
    config = ClassifierConfig(batch_pixels=1000)
    assert [config.batch_of(num) for num in (1_000_000, 32_000, 3200, 10)] == [1000, 1000, 100, 2]
