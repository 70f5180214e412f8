from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from hdgan.errors import BadConfig, BadInput, DamagedArtifact, StaleStage
from hdgan.generator import freeze, growth, phases, transfer
from hdgan.generator.config import GeneratorConfig
from hdgan.generator.networks import Discriminator, Generator
from hdgan.generator.ops import fir
from hdgan.generator.stage import run_generator
from hdgan.generator.state import new_state
from hdgan.generator.weights import FILE, load_generator
from hdgan.progress import Silent
from hdgan.store.archive import TileRow, write_archive
from hdgan.store.atomic import encode_png
from hdgan.store.stage import open_stage, verify
from hdgan.training import checkpoint

from .conftest import TINY, write_tiles

CONFIG = GeneratorConfig(**TINY, kimg=0.02, path_weight=2.0, mixing=0.9, ada_p=0.3)
GROWN = {"resolution": 32, "channel_base": 256}


class Said(Silent):
    """Remembers what was said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A finished generator stage of 16 px with its states."""
    folder = tmp_path_factory.mktemp("first")
    run_generator(CONFIG, tiles=write_tiles(folder / "1-tiles"), out=folder / "first", seed=0)
    return folder / "first"


@pytest.fixture
def finer_tiles(tmp_path):
    """Tiles of 32 px that show the same field of view at half the scale."""
    folder = tmp_path / "finer"
    rows = []
    for i in range(4):
        pixels = np.random.default_rng(i).integers(0, 255, (32, 32, 3), dtype=np.uint8)
        rows.append((TileRow(f"{i:04d}.png", "s", f"p{i}", "a", "PAS", i, i * 48, 0, 48, 32, 1.0, 0.1), encode_png(pixels)))
    with open_stage(folder, stage="tiles", config={}, seed=0, inputs={}) as stage:
        write_archive(folder, rows)
        stage.seal(counts={"tiles": 4})
    return folder


def begun(config, source):
    state = new_state(config.network_spec(), config.train_settings(seed=7))
    return state, transfer.begin_with(state, source)


def test_a_training_begins_with_both_networks_and_the_average_of_a_state(first):
    file = transfer.find(first)
    assert file.parent.name == "state"
    tensors, _ = checkpoint.read_tensors(file)
    state, taken = begun(CONFIG, transfer.read(file))
    for prefix, network in (("G", state.G), ("D", state.D), ("G_average", state.G_average)):
        assert all(torch.equal(tensors[f"{prefix}.{name}"], value) for name, value in network.state_dict().items())
    assert set(taken.G.values()) == set(taken.D.values()) == {"copied"}
    assert state.G_optimiser.state == {}
    assert (state.num_images, float(state.path_mean)) == (0, 0.0)


def test_from_a_weights_file_both_generators_begin_with_the_average_and_d_anew(first):
    state, taken = begun(CONFIG, transfer.read(transfer.find(first / FILE)))
    trained = load_generator(first / FILE).network.state_dict()
    for network in (state.G, state.G_average):
        assert all(torch.equal(trained[name], value) for name, value in network.state_dict().items())
    assert set(taken.D.values()) == {"fresh"}
    assert any("no discriminator" in line for line in taken.lines(spec=state.G.spec, mpp=2.0))


def test_transfer_changes_the_schedule_as_published():
    plain, moved = (CONFIG.model_copy(update={"init_from": path}).train_settings(seed=0) for path in (None, "x"))
    auto = GeneratorConfig(preset="auto", init_from="x", freeze_d=2).train_settings(seed=0)
    assert (plain.ema_rampup, moved.ema_rampup) == (0.05, None)
    assert (auto.ada_kimg, auto.ema_rampup, auto.freeze_d) == (100.0, None, 2)


def test_the_published_count_of_frozen_layers_names_whole_blocks():
    D = Discriminator(GeneratorConfig(**TINY | {"resolution": 64, "channel_base": 512}).network_spec())
    for num, blocks in ((10, ("b64", "b32", "b16")), (13, ("b64", "b32", "b16", "b8"))):
        freeze.set_trainable(D, num_frozen=num)
        frozen = {name.split(".")[0] for name, p in D.named_parameters() if not p.requires_grad}
        assert frozen == set(blocks)
        assert all(p.requires_grad for name, p in D.named_parameters() if name.split(".")[0] not in blocks)
    freeze.set_trainable(D, num_frozen=2)
    assert {name for name, p in D.named_parameters() if not p.requires_grad} == {
        f"b64.{layer}.{part}" for layer in ("fromrgb", "conv0") for part in ("weight", "bias")
    }
    with pytest.raises(BadConfig, match="has 13 layers"):
        freeze.set_trainable(D, num_frozen=14)


def test_frozen_layers_keep_their_weights_through_every_phase_and_the_others_learn(first, tiles):
    config = CONFIG.model_copy(update={"init_from": first, "freeze_d": 3})
    state, _ = begun(config, transfer.read(transfer.find(first)))
    before = {name: value.clone() for name, value in state.D.state_dict().items()}
    for _ in range(2):
        phases.train_step(state, torch.rand(4, 3, 16, 16) * 2 - 1, config.train_settings(seed=7))
    same = {name for name, value in state.D.state_dict().items() if torch.equal(value, before[name])}
    assert same == {f"b16.{layer}.{part}" for layer in ("fromrgb", "conv0", "conv1") for part in ("weight", "bias")}


def test_a_stage_that_began_elsewhere_says_so_and_notices_another_beginning(first, tiles, tmp_path):
    config = CONFIG.model_copy(update={"init_from": first, "freeze_d": 3})
    said = Said()
    manifest = run_generator(config, tiles=tiles, out=tmp_path / "second", seed=1, progress=said)
    report = json.loads((tmp_path / "second" / transfer.REPORT).read_text())
    source = transfer.read(transfer.find(first))
    assert manifest.inputs["init_from"] == report["source"]["content"] == source.content
    assert manifest.outputs.keys() >= {transfer.REPORT, FILE}
    assert set(report["G"].values()) == {"copied"}
    assert said.lines[0].startswith("begins with a 16 px state file: G ")
    assert load_generator(tmp_path / "second" / FILE).facts["init_from"] == source.content
    assert run_generator(config, tiles=tiles, out=tmp_path / "second", seed=1) == manifest
    other = config.model_copy(update={"init_from": first / FILE})
    with pytest.raises(StaleStage, match=r"inputs\.init_from"):
        run_generator(other, tiles=tiles, out=tmp_path / "second", seed=1)


@pytest.mark.parametrize("name", [".", "state", FILE, "../link"])
def test_a_training_does_not_begin_with_what_it_would_clear(tiles, tmp_path, name):
    run_generator(CONFIG, tiles=tiles, out=tmp_path / "g", seed=0)
    (tmp_path / "link").symlink_to(tmp_path / "g")
    with pytest.raises(BadConfig, match=r"init_from: .* is where this training writes; copy it elsewhere"):
        run_generator(CONFIG.model_copy(update={"init_from": tmp_path / "g" / name}), tiles=tiles, out=tmp_path / "g", seed=1, redo=True)
    assert verify(tmp_path / "g") == []
    assert checkpoint.newest(tmp_path / "g" / "state") is not None


def grown_pair(first, **fields):
    """Networks of 32 px that began with those of 16 px, the latter, and what became of the weights."""
    config = CONFIG.model_copy(update=GROWN | {"low_precision": "float32"} | fields)
    source = transfer.read(transfer.find(first))
    state, taken = begun(config, source)
    old_spec = replace(source.spec, low_precision="float32")
    old_G, old_D = Generator(old_spec), Discriminator(old_spec)
    old_G.load_state_dict(source.G_average)
    old_D.load_state_dict(source.D)
    return state, old_G, old_D, taken


@pytest.mark.parametrize("channels", [{"channel_max": 8}, {"channel_base": 512, "channel_max": 16}], ids=["as wide", "wider"])
def test_a_grown_generator_draws_the_old_image_upsampled(first, channels):
    state, old, _, taken = grown_pair(first, **channels)
    z = torch.randn(3, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = fir.upsample2_binomial(old(z, psi=0.8))
        torch.testing.assert_close(state.G_average(z, psi=0.8), expected, rtol=0, atol=1e-5)
    became = {what: {name for name, is_ in taken.G.items() if is_ == what} for what in taken.G.values()}
    assert became["zeroed"] == {"synthesis.b32.torgb.weight", "synthesis.b32.torgb.bias"}
    assert all(name.startswith("synthesis.b32.") for name in became["fresh"])
    assert ("widened" in became) == ("channel_base" in channels)


def smooth_images(num):
    generator = torch.Generator().manual_seed(3)
    small = torch.rand(num, 3, 8, 8, generator=generator) * 2 - 1
    return fir.upsample2_binomial(small)


@pytest.mark.parametrize(
    "channels", [{}, {"channel_base": 128}, {"channel_base": 512, "channel_max": 16}], ids=["as wide", "narrower top", "wider"]
)
def test_a_grown_discriminator_sees_in_a_smooth_image_what_the_old_one_saw_in_half_of_it(first, channels):
    state, _, old, taken = grown_pair(first, **channels)
    fresh = Discriminator(state.D.spec)
    images = fir.upsample2_binomial(smooth_images(8))
    halved = fir.downsample2(images, torch.tensor(fir.BINOMIAL))
    with torch.no_grad():
        expected = old.features(halved).float().flatten()
        ours, anew = (D.features(images).float()[:, : old.spec.channels(4)].flatten() for D in (state.D, fresh))
    error = float((ours - expected).square().mean() / expected.var())
    assert error < (0.15 if channels.get("channel_base") == 128 else 0.03)
    assert float((anew - expected).square().mean() / expected.var()) > 0.5
    assert taken.D["b32.fromrgb.weight"] == taken.D["b32.skip.weight"] == "fitted"
    assert taken.D["b32.conv1.weight"] == "zeroed"


def test_every_part_of_grown_networks_still_learns(first):
    config = CONFIG.model_copy(update=GROWN | {"low_precision": "float32", "init_from": first})
    state, _ = begun(config, transfer.read(transfer.find(first)))
    before = [value.clone() for network in (state.G, state.D) for value in network.parameters()]
    settings = replace(config.train_settings(seed=7), augment="none")
    for _ in range(3):
        phases.train_step(state, torch.rand(4, 3, 32, 32) * 2 - 1, settings)
    names = [name for network in (state.G, state.D) for name, _ in network.named_parameters()]
    after = [value for network in (state.G, state.D) for value in network.parameters()]
    assert [name for name, old, new in zip(names, before, after, strict=True) if torch.equal(old, new)] == []


def test_growing_by_four_still_draws_and_sees_the_old_images(first):
    state, old, old_D, _ = grown_pair(first, resolution=64, channel_base=512)
    z = torch.randn(2, 8, generator=torch.Generator().manual_seed(0))
    twice = fir.upsample2_binomial(fir.upsample2_binomial(old(z)))
    torch.testing.assert_close(state.G_average(z), twice, rtol=0, atol=1e-5)
    images = fir.upsample2_binomial(fir.upsample2_binomial(smooth_images(8)))
    taps = torch.tensor(fir.BINOMIAL)
    with torch.no_grad():
        expected = old_D.features(fir.downsample2(fir.downsample2(images, taps), taps)).float()
        error = float((state.D.features(images).float() - expected).square().mean() / expected.var())
    assert error < 0.1


def test_a_training_grown_from_16_to_32_px_has_the_scale_of_the_new_tiles(first, finer_tiles, tmp_path):
    config = CONFIG.model_copy(update=GROWN | {"init_from": first / FILE, "kimg": 0.008})
    said = Said()
    run_generator(config, tiles=finer_tiles, out=tmp_path / "grown", seed=0, progress=said)
    generator = load_generator(tmp_path / "grown" / FILE)
    assert (generator.resolution, generator.mpp) == (32, 1.0)
    assert not any("change their size" in line for line in said.lines)
    taken = transfer.Transfer(transfer.read(first / FILE), {}, {})
    assert any("show 32 um, the new tiles 64 um" in line for line in taken.lines(spec=generator.spec, mpp=2.0))


def test_an_unconditional_source_draws_its_images_whatever_the_label(first):
    source = transfer.read(transfer.find(first))
    state = new_state(replace(CONFIG.network_spec(label_dim=2), low_precision="float32"), CONFIG.train_settings(seed=0))
    taken = transfer.begin_with(state, source)
    old = Generator(replace(source.spec, low_precision="float32"))
    old.load_state_dict(source.G_average)
    z = torch.randn(2, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(state.G_average(z, torch.eye(2)), old(z), rtol=0, atol=1e-5)
    assert (taken.G["mapping.fc0.weight"], taken.G["mapping.embed.weight"], taken.D["b4.out.weight"]) == ("widened", "fresh", "fresh")


def test_another_rate_of_the_mapping_keeps_its_function(first):
    source = transfer.read(transfer.find(first))
    state = new_state(replace(CONFIG.network_spec(), mapping_lr=0.01), CONFIG.train_settings(seed=0))
    transfer.begin_with(state, source)
    old = Generator(source.spec)
    old.load_state_dict(source.G)
    z = torch.randn(2, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(state.G.mapping(z), old.mapping(z), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"w_dim": 12}, "w_dim 8, the settings 12"),
        ({"mapping_layers": 4}, "mapping_layers 2, the settings 4"),
        ({"start": "constant"}, "start latent, the settings constant"),
        ({"discriminator": "orig"}, "discriminator resnet, the settings orig"),
    ],
)
def test_weights_of_which_nothing_would_survive_are_refused_by_the_field(first, change, told):
    with pytest.raises(BadConfig, match=told):
        begun(CONFIG.model_copy(update=change), transfer.read(transfer.find(first)))


def test_larger_images_and_labels_that_are_gone_are_refused(first):
    source = transfer.read(transfer.find(first))
    with pytest.raises(BadConfig, match="draws 32 px, more than"):
        begun(CONFIG, replace(source, spec=replace(source.spec, resolution=32)))
    with pytest.raises(BadConfig, match="takes 3 labels, the settings give 0"):
        begun(CONFIG, replace(source, spec=replace(source.spec, label_dim=3)))


def test_files_that_are_no_weights_are_refused_in_one_line(first, tiles, tmp_path):
    with pytest.raises(BadInput, match="holds no weights"):
        run_generator(CONFIG.model_copy(update={"init_from": tmp_path / "nowhere"}), tiles=tiles, out=tmp_path / "o", seed=0)
    file = transfer.find(first)
    tensors, facts = checkpoint.read_tensors(file)
    checkpoint.write_tensors(tmp_path / "old.safetensors", tensors, {name: fact for name, fact in facts.items() if name != "spec"})
    with pytest.raises(BadInput, match="earlier version"):
        transfer.read(tmp_path / "old.safetensors")
    checkpoint.write_tensors(tmp_path / "other.safetensors", tensors, {"kind": "classifier"})
    with pytest.raises(BadInput, match="neither a generator nor a state"):
        transfer.read(tmp_path / "other.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(file.read_bytes()[:-40])
    with pytest.raises(DamagedArtifact):
        transfer.read(tmp_path / "cut.safetensors")


def test_weights_without_a_place_are_named(first):
    source = transfer.read(transfer.find(first))
    state, taken = begun(CONFIG.model_copy(update={"noise_from_px": 16}), source)
    assert taken.unused() == ["G.synthesis.b8.conv0.noise_strength", "G.synthesis.b8.conv1.noise_strength"]
    assert any("2 of the file's weights have no place here" in line for line in taken.lines(spec=state.G.spec, mpp=None))
    assert grown_pair(first)[-1].unused() == []


def test_a_narrower_layer_begins_anew_and_is_named(first):
    source = transfer.read(transfer.find(first))
    state, taken = begun(CONFIG.model_copy(update={"channel_max": 4}), source)
    assert growth.FRESH in taken.G.values()
    assert any("b4" in line and "begin anew" in line for line in taken.lines(spec=state.G.spec, mpp=None))
