"""The published presets against the published table."""

from __future__ import annotations

import pytest

from hdgan.errors import BadConfig
from hdgan.generator import presets
from hdgan.generator.config import GeneratorConfig
from hdgan.generator.settings import TrainSettings

# GPUs of the reference run, kimg, batch, minibatch-std group, width, lr, gamma, EMA kimg, ramp-up, mapping layers.
TABLE = {
    "stylegan2": (8, 25000, 32, 4, 1, 0.002, 10, 10, None, 8),
    "paper256": (8, 25000, 64, 8, 0.5, 0.0025, 1, 20, None, 8),
    "paper512": (8, 25000, 64, 8, 1, 0.0025, 0.5, 20, None, 8),
    "paper1024": (8, 25000, 32, 4, 1, 0.002, 2, 10, None, 8),
    "cifar": (2, 100000, 64, 32, 1, 0.0025, 0.01, 500, 0.05, 2),
}


@pytest.mark.parametrize("name", TABLE)
def test_a_published_preset_is_its_row_of_the_table(name):
    gpus, kimg, batch, group, width, lr, gamma, ema, rampup, layers = TABLE[name]
    config = GeneratorConfig(preset=name, resolution=32)
    spec, settings = config.network_spec(), config.train_settings(seed=0)
    assert (settings.kimg, settings.batch, settings.microbatch) == (kimg, batch, batch // gpus)
    assert (settings.lr, settings.gamma, settings.ema_kimg, settings.ema_rampup) == (lr, gamma, ema, rampup)
    assert (spec.minibatch_std_group, spec.channel_base, spec.channel_max, spec.mapping_layers) == (group, width * 32768, 512, layers)
    assert (spec.z_dim, spec.w_dim, spec.low_precision, spec.num_low_precision, spec.clamp) == (512, 512, "float16", 4, 256)
    assert (settings.path_weight, settings.mixing, spec.discriminator) == ((0, 0, "orig") if name == "cifar" else (2, 0.9, "resnet"))
    assert (settings.augment, settings.ada_target, settings.ada_kimg) == ("bgc", 0.6, 500)
    assert (settings.r1_interval, settings.path_interval, settings.ada_interval) == (16, 4, 4)


@pytest.mark.parametrize("gpus", [1, 2, 8])
@pytest.mark.parametrize("resolution", [32, 128, 256, 512, 1024, 2048, 4096])
def test_auto_follows_the_published_rule(resolution, gpus):
    batch = max(min(gpus * min(4096 // resolution, 32), 64), gpus)
    config = GeneratorConfig(preset="auto", resolution=resolution, batch=None if gpus == 1 else batch)
    spec, settings = config.network_spec(), config.train_settings(seed=0)
    assert settings.batch == batch
    assert settings.gamma == pytest.approx(0.0002 * resolution**2 / batch)
    assert settings.ema_kimg == pytest.approx(batch * 10 / 32)
    assert settings.lr == (0.002 if resolution >= 1024 else 0.0025)
    assert (settings.ema_rampup, settings.kimg, spec.mapping_layers) == (0.05, 25000, 2)
    assert spec.channel_base == (32768 if resolution >= 512 else 16384)
    if gpus == 1:
        assert spec.minibatch_std_group == min(batch, 4)


def test_what_auto_gives_above_1024_px_is_what_was_computed_from_the_published_rule():
    found = {r: GeneratorConfig(preset="auto", resolution=r).train_settings(seed=0) for r in (2048, 4096)}
    assert {r: (s.batch, round(s.gamma)) for r, s in found.items()} == {2048: (2, 419), 4096: (1, 3355)}
    assert found[4096].ema_kimg == pytest.approx(0.31, abs=0.01)


@pytest.mark.parametrize(("resolution", "microbatch"), [(1024, 4), (2048, 2), (4096, 1)])
def test_large_accumulates_a_batch_whose_statistics_are_those_of_four_images(resolution, microbatch):
    config = GeneratorConfig(preset="large", resolution=resolution)
    spec, settings = config.network_spec(), config.train_settings(seed=0)
    assert (settings.batch, settings.microbatch, settings.gamma, settings.ema_kimg) == (32, microbatch, 10.0, 10.0)
    assert (spec.minibatch_std_group, spec.channel_base, spec.low_precision, spec.clamp) == (4, 32768, "bfloat16", None)


def test_another_batch_keeps_passes_that_divide_it():
    assert GeneratorConfig(preset="paper256", batch=12).train_settings(seed=0).microbatch == 4
    with pytest.raises(BadConfig, match="does not divide"):
        GeneratorConfig(preset="paper256", batch=12, microbatch=8).train_settings(seed=0)


@pytest.mark.parametrize("call", [presets.network, presets.training])
def test_an_unknown_preset_is_answered_with_those_that_exist(call):
    with pytest.raises(BadConfig, match="paper1024, cifar, large"):
        call("paper2048", 64)


def test_every_preset_makes_a_schedule():
    for name in presets.PRESETS:
        assert TrainSettings(**presets.training(name, 64)).batch >= 1
