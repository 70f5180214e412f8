from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from hdgan.errors import BadConfig
from hdgan.generator import phases, transfer
from hdgan.generator import train as training
from hdgan.generator.conditions import Conditions, of_tiles, one_hot
from hdgan.generator.config import GeneratorConfig
from hdgan.generator.crops import ArrayTiles, Crops
from hdgan.generator.spec import NetworkSpec
from hdgan.generator.stage import run_generator
from hdgan.generator.state import new_state, to_tensors
from hdgan.generator.weights import FILE, load_generator, save_generator, untrained_like
from hdgan.progress import Silent
from hdgan.samples.config import SamplesConfig
from hdgan.samples.recheck import recheck
from hdgan.samples.stage import run_samples
from hdgan.store.archive import INDEX, TileArchive, read_rows, write_rows
from hdgan.store.bank import SampleBank

from .conftest import TINY

CONFIG = GeneratorConfig(**TINY, kimg=0.016, condition="stain", path_weight=2.0, mixing=0.9)
NAMES = Conditions("stain", ("HE", "PAS", "TRI"), (6, 3, 3))


@pytest.fixture
def stained(tiles):
    """The tiles stage with three stains: half of the tiles HE, the others PAS and TRI."""
    rows = read_rows(tiles / INDEX)
    write_rows(tiles / INDEX, [replace(row, stain=("HE", "PAS", "HE", "TRI")[i % 4]) for i, row in enumerate(rows)])
    return tiles


@pytest.fixture
def trained(stained, tmp_path):
    run_generator(CONFIG, tiles=stained, out=tmp_path / "2-generator", seed=0)
    return tmp_path / "2-generator"


def test_labels_are_the_values_of_the_column_in_the_order_of_their_names(stained):
    rows = TileArchive(stained).rows
    conditions, labels = of_tiles(rows, by="stain", chosen=range(1, 12))
    assert conditions == Conditions("stain", ("HE", "PAS", "TRI"), (5, 3, 3))
    assert labels[0] == -1
    assert [conditions.names[label] for label in labels[1:5]] == ["PAS", "HE", "TRI", "HE"]
    assert Conditions.from_json(json.loads(json.dumps(conditions.to_json()))) == conditions


def test_the_patient_can_be_the_label(stained):
    rows = TileArchive(stained).rows
    patients = sorted({row.patient for row in rows})
    conditions, labels = of_tiles(rows, by=GeneratorConfig(condition="patient").condition, chosen=range(len(rows)))
    assert len(patients) > 1
    assert conditions.names == tuple(patients)
    assert [conditions.names[label] for label in labels] == [row.patient for row in rows]


def test_one_stain_alone_or_none_is_no_condition(stained):
    rows = TileArchive(stained).rows
    with pytest.raises(BadConfig, match="all tiles have the centre 'a'"):
        of_tiles(rows, by="centre", chosen=range(12))
    with pytest.raises(BadConfig, match="1 tiles state no stain"):
        of_tiles([replace(rows[0], stain=""), *rows[1:]], by="stain", chosen=range(12))


def test_a_crop_has_the_label_of_its_tile():
    tiles = ArrayTiles(np.stack([np.full((16, 16, 3), 10 * i, dtype=np.uint8) for i in range(5)]))
    crops = Crops(tiles, chosen=[0, 2, 4], size_px=16, seed=3, labels=[0, -1, 1, -1, 2])
    batch, labels = crops.batch(7, 40), crops.batch_labels(7, 40)
    assert labels == [int(crop[0, 0, 0]) // 20 for crop in batch]
    assert set(labels) == {0, 1, 2}
    assert Crops(tiles, chosen=[0], size_px=16, seed=3).batch_labels(0, 4) is None


def test_a_latent_has_a_label_of_its_own_in_the_shares_of_the_tiles():
    z = torch.randn(2000, 8, generator=torch.Generator().manual_seed(0))
    labels = NAMES.of_latents(z)
    assert labels == NAMES.of_latents(z.clone())
    assert labels[5:6] == NAMES.of_latents(z[5:6])
    counts = Counter(labels)
    assert [counts[i] / 2000 for i in range(3)] == pytest.approx([0.5, 0.25, 0.25], abs=0.04)


def test_every_phase_hands_the_labels_of_the_real_images_to_both_networks():
    state = new_state(replace(CONFIG.network_spec(label_dim=3), low_precision="float32"), CONFIG.train_settings(seed=0))
    seen = []
    for network in (state.G.mapping, state.D.mapping):
        network.register_forward_hook(lambda module, inputs, _: seen.append((type(module).__name__, inputs[-1])))
    labels = one_hot([2, 0, 1, 2], 3)
    phases.train_step(state, torch.rand(4, 3, 16, 16) * 2 - 1, CONFIG.train_settings(seed=0), labels)
    assert Counter(name for name, _ in seen) == {"Mapping": 2 + 2, "LabelMapping": 1 + 2 + 1}  # mixed latents: each is mapped twice
    for _, given in seen:
        assert torch.equal(given, labels[: len(given)])
    assert sorted({len(given) for _, given in seen}) == [2, 4]  # half of the batch for path lengths


def test_every_weight_that_reads_labels_learns(stained):
    settings = CONFIG.train_settings(seed=0)
    state = new_state(CONFIG.network_spec(label_dim=3), settings)
    before = {name: value.clone() for name, value in to_tensors(state)[0].items()}
    phases.train_step(state, torch.rand(4, 3, 16, 16) * 2 - 1, settings, one_hot([2, 0, 1, 2], 3))
    after = to_tensors(state)[0]
    for name in ("G.mapping.embed.weight", "D.mapping.embed.weight", "D.mapping.fc7.weight", "D.b4.out.weight"):
        assert not torch.equal(before[name], after[name]), name


def test_the_weights_say_what_they_can_be_asked_for(trained):
    generator = load_generator(trained / FILE)
    assert generator.conditions == Conditions("stain", ("HE", "PAS", "TRI"), (6, 3, 3))
    z = torch.randn(8, 8, generator=torch.Generator().manual_seed(1))
    own, asked = generator.map(z, psi=1.0), {name: generator.asked_for(name).map(z, psi=1.0) for name in generator.conditions.names}
    assert not torch.equal(asked["HE"], asked["PAS"])
    for i in range(8):
        name = generator.condition_of(z[i : i + 1])
        torch.testing.assert_close(own[i], asked[name][i])
    assert generator.asked_for("PAS").condition_of(z[:1]) == "PAS"
    assert generator.asked_for("PAS").content_hash == generator.content_hash
    with pytest.raises(BadConfig, match="no stain 'MSB'; use one of HE, PAS, TRI"):
        generator.asked_for("MSB")
    assert untrained_like(trained / FILE, seed=0).conditions == generator.conditions


def test_a_generator_without_labels_cannot_be_asked_for_one(tmp_path):
    from hdgan.generator.networks import Generator

    spec = NetworkSpec(resolution=16, z_dim=8, w_dim=8, channel_base=128, channel_max=8)
    save_generator(tmp_path / FILE, Generator(spec), mpp=1.0, trained={})
    generator = load_generator(tmp_path / FILE)
    assert generator.asked_for(None) is generator
    assert generator.condition_of(torch.zeros(1, 8)) is None
    with pytest.raises(BadConfig, match=r"trained without generator\.condition"):
        generator.asked_for("PAS")
    save_generator(tmp_path / FILE, Generator(replace(spec, label_dim=2)), mpp=1.0, trained={})
    assert load_generator(tmp_path / FILE).conditions == Conditions.unnamed(2)


def test_a_generator_that_is_asked_for_a_stain_draws_in_its_colour():
    """Known truth: tiles of two colours; after 1,600 images each label draws its own (at first their means are 60 levels off)."""
    colours, rng = np.array([[210, 90, 140], [90, 100, 190]]), np.random.default_rng(0)
    grain = rng.normal(0, 20, (40, 4, 4, 3)).repeat(4, axis=1).repeat(4, axis=2)
    tiles = np.clip(colours[np.arange(40) % 2][:, None, None] + grain, 0, 255).astype(np.uint8)
    crops = Crops(ArrayTiles(tiles), chosen=range(40), size_px=16, seed=0, labels=[i % 2 for i in range(40)])
    fields = TINY | {"batch": 8, "augment": "none", "low_precision": "float32", "ema_kimg": 0.2, "lr": 0.005}
    config = GeneratorConfig(**fields, kimg=5)
    settings = config.train_settings(seed=0)
    state = new_state(config.network_spec(label_dim=2), settings)
    for _ in range(200):
        real, labels = (draw(state.num_images, 8) for draw in (crops.batch, crops.batch_labels))
        phases.train_step(state, torch.from_numpy(real), settings, one_hot(labels, 2))
    z = torch.randn(64, 8, generator=torch.Generator().manual_seed(0))
    for label, colour in enumerate(colours):
        with torch.no_grad():
            drawn = state.G_average(z, one_hot([label] * 64, 2)).mean(dim=(0, 2, 3)) * 127.5 + 127.5
        assert drawn.tolist() == pytest.approx(colour.tolist(), abs=25)


def test_truncation_draws_towards_the_mean_of_the_own_label(trained):
    generator = load_generator(trained / FILE)
    z = torch.randn(6, generator.z_dim, generator=torch.Generator().manual_seed(1))
    centres = generator.label_centres
    assert centres.shape == (3, generator.spec.w_dim)
    for number, name in enumerate(generator.conditions.names):
        asked = generator.asked_for(name)
        whole, half, none = (asked.map(z, psi=psi)[:, : generator.spec.w_dim] for psi in (1.0, 0.5, 0.0))
        assert torch.equal(none, centres[number].expand(6, -1))
        assert torch.allclose(half, (whole + none) / 2, atol=1e-6)
    many = torch.randn(4096, generator.z_dim, generator=torch.Generator().manual_seed(2))
    mean = generator.asked_for("PAS").map(many, psi=1.0)[:, : generator.spec.w_dim].mean(dim=0)
    assert float((mean - centres[1]).norm()) < 0.2 * float((centres[0] - centres[1]).norm()) + 0.1


def test_labels_without_names_are_truncated_as_published(trained, tmp_path):
    generator = load_generator(trained / FILE)
    save_generator(tmp_path / FILE, generator.network, mpp=None, trained={})
    unnamed = load_generator(tmp_path / FILE)
    z = torch.randn(4, generator.z_dim, generator=torch.Generator().manual_seed(1))
    drawn = unnamed.map(z, psi=0.0)[:, : generator.spec.w_dim]
    assert torch.equal(drawn, generator.network.mapping.w_avg.expand(4, -1))


@pytest.mark.parametrize("condition", [None, "PAS"])
def test_samples_record_their_label_and_are_drawn_again_from_w_alone(trained, tmp_path, condition):
    run_samples(SamplesConfig(num=6, shortlist=2, condition=condition), generator=trained, out=tmp_path / "s", seed=1)
    bank, generator = SampleBank(tmp_path / "s"), load_generator(trained / FILE)
    z = torch.from_numpy(np.load(tmp_path / "s" / "z.npy"))
    expected = [condition or generator.condition_of(row[None]) for row in z]
    assert [row.condition for row in bank.rows] == expected
    assert all(recheck(generator, bank, index).outcome == "identical" for index in range(6))


def test_a_run_with_labels_that_is_stopped_resumes_to_the_same_bytes(stained, tmp_path):
    config = CONFIG.model_copy(update={"kimg": 0.04})
    whole = run_generator(config, tiles=stained, out=tmp_path / "whole", seed=3)
    run_generator(CONFIG, tiles=stained, out=tmp_path / "grown", seed=3)
    grown = run_generator(config, tiles=stained, out=tmp_path / "grown", seed=3, redo=True)
    assert grown.outputs[FILE] == whole.outputs[FILE]


@pytest.mark.parametrize("file", ["state/state-000000016.safetensors", FILE])
def test_a_training_begins_with_weights_of_the_same_labels_and_refuses_those_of_others(stained, trained, tmp_path, file):
    assert transfer.read(trained / file).conditions == NAMES
    config = CONFIG.model_copy(update={"init_from": trained / file, "kimg": 0.004})
    run_generator(config, tiles=stained, out=tmp_path / "same", seed=1)
    write_rows(stained / INDEX, [replace(row, stain=row.stain.replace("HE", "MSB")) for row in read_rows(stained / INDEX)])
    with pytest.raises(
        BadConfig, match="was trained with stain HE, PAS, TRI, the tiles give stain MSB, PAS, TRI; train on tiles of the former"
    ):
        run_generator(config, tiles=stained, out=tmp_path / "other", seed=1)


def begun_with_labels(source, names):
    """A state whose labels have these names and that began with `source`."""
    state = new_state(CONFIG.network_spec(label_dim=len(names)), CONFIG.train_settings(seed=7))
    state.conditions = Conditions("stain", names, (1,) * len(names))
    transfer.begin_with(state, source)
    return state


@pytest.mark.parametrize(
    "names", [("PAS", "HE", "TRI"), ("HE", "PAS"), ("HE", "PAS", "TRI", "MSB")], ids=["another order", "fewer", "more"]
)
def test_the_labels_of_weights_must_be_all_the_labels_in_the_same_order(trained, names):
    with pytest.raises(BadConfig, match=f"stain HE, PAS, TRI, the tiles give stain {', '.join(names)};"):
        begun_with_labels(transfer.read(trained / FILE), names)


def test_labels_without_names_are_taken_by_their_number(trained):
    source = replace(transfer.read(trained / FILE), conditions=None)
    state = begun_with_labels(source, ("A", "B", "C"))
    assert torch.equal(state.G.mapping.embed.weight, source.G["mapping.embed.weight"])
    with pytest.raises(BadConfig, match="takes 3 labels, the settings give 2"):
        begun_with_labels(source, ("A", "B"))


def test_each_row_of_a_grid_has_one_label(trained):
    state = new_state(CONFIG.network_spec(label_dim=3), CONFIG.train_settings(seed=0))
    seen = []
    state.G_average.mapping.register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[1].argmax(dim=1).tolist()))
    training.draw_fixed(state)
    assert seen == [[row % 3] * 6 for row in range(6)]


def test_networks_of_labels_without_labels_and_of_other_channels_are_refused_at_the_start(tmp_path):
    settings, tiles = CONFIG.train_settings(seed=0), ArrayTiles(np.zeros((2, 16, 16, 3), dtype=np.uint8))
    crops = Crops(tiles, chosen=[0, 1], size_px=16, seed=0)
    upkeep = training.Upkeep(snapshot_images=1000, save_seconds=1000)
    for spec, told in (
        (CONFIG.network_spec(label_dim=2), "2 labels"),
        (replace(CONFIG.network_spec(), image_channels=4), "4 image channels"),
    ):
        with pytest.raises(BadConfig, match=told):
            training.train(new_state(spec, settings), crops, settings, out=tmp_path, upkeep=upkeep, progress=Silent())
