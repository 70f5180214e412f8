from __future__ import annotations

import numpy as np
import pytest
import torch

from hdgan.classifier.ensemble import FILE as ENSEMBLE_FILE
from hdgan.classifier.ensemble import Ensemble
from hdgan.classifier.mlp import PixelMlp
from hdgan.dataset.config import DatasetConfig
from hdgan.dataset.labeller import load_labeller
from hdgan.dataset.stage import run_dataset
from hdgan.errors import BadConfig, BadInput, DamagedArtifact
from hdgan.features.moments import Standardiser
from hdgan.generator.networks import Generator
from hdgan.generator.spec import NetworkSpec
from hdgan.generator.weights import FILE as GENERATOR_FILE
from hdgan.generator.weights import load_generator, save_generator
from hdgan.labels import KIDNEY
from hdgan.randomness import stream
from hdgan.refinement.config import RefinementConfig
from hdgan.refinement.refine import refine
from hdgan.store.pairs import PairFolder
from hdgan.store.stage import open_stage
from hdgan.training import seeds

BLOCKS = 2


def _generator(folder, seed):
    seeds.reseed(seed, "test.generator")
    with open_stage(folder, stage="generator", config={}, seed=seed, inputs={}) as stage:
        spec = NetworkSpec(resolution=16, z_dim=8, w_dim=8, channel_base=128, channel_max=8)
        save_generator(folder / GENERATOR_FILE, Generator(spec), mpp=2.0, trained={})
        stage.seal(counts={})
    return load_generator(folder / GENERATOR_FILE)


def _classifier(folder, generator, *, members=3, std=1.0):
    taps = generator.taps(BLOCKS)
    width = sum(tap.channels for tap in taps)
    seeds.reseed(0, "test.classifier")
    made = [PixelMlp(width, len(KIDNEY), hidden=(8, 8), dropout=0.0) for _ in range(members)]
    facts = {
        "num_blocks": BLOCKS,
        "generator_hash": generator.content_hash,
        "resolution": 16,
        "mpp": 2.0,
        "annotator": "nobody",
        "hidden": [8, 8],
        "dropout": 0.0,
    }
    standardiser = Standardiser(torch.zeros(width), torch.full((width,), std))
    with open_stage(folder, stage="classifier", config={}, seed=0, inputs={}) as stage:
        Ensemble(made, standardiser=standardiser, classes=KIDNEY, taps=taps, facts=facts).save(folder / ENSEMBLE_FILE)
        stage.seal(counts={})


@pytest.fixture(scope="module")
def stages(tmp_path_factory):
    root = tmp_path_factory.mktemp("stages")
    generator = _generator(root / "generator", 1)
    _classifier(root / "classifier", generator)
    return root


def test_image_mask_and_latent_are_those_of_generator_and_ensemble(stages):
    label, origin = load_labeller(stages / "generator", stages / "classifier", psi=0.7)
    z = stream(3, "dataset.z", 5).standard_normal(label.z_dim, dtype=np.float32)
    found = label(z)
    w = label.generator.map(torch.from_numpy(z)[None], psi=0.7)
    np.testing.assert_array_equal(found.w, w[0].numpy())
    image, maps = label.generator.render_taps(w, num_blocks=BLOCKS)
    np.testing.assert_array_equal(found.mask, label.ensemble.predict([m[0] for m in maps], size=16).mask)
    assert found.image.shape == (16, 16, 3)
    assert np.abs(found.image.astype(int) - (image[0].permute(1, 2, 0).numpy() * 127.5 + 127.5).clip(0, 255)).max() <= 0.5
    assert found.uncertainty.max() > 0
    assert (origin.annotator, origin.num_heads, origin.generator) == ("nobody", 3, label.generator.content_hash)


def test_a_mask_that_is_refined_is_that_of_the_mean_probabilities_and_the_image(stages, tmp_path):
    _classifier(tmp_path, load_generator(stages / "generator" / GENERATOR_FILE), std=0.02)  # masks of more than one class
    settings = RefinementConfig(radius_px=1, epsilon=0.1, smallest_object_px=4)
    folders = (stages / "generator", tmp_path)
    (plain, _), (refined, _) = (load_labeller(*folders, psi=0.7, refinement=refinement) for refinement in (None, settings))
    z = stream(3, "dataset.z", 5).standard_normal(plain.z_dim, dtype=np.float32)
    before, after = plain(z), refined(z)
    _, maps = plain.generator.render_taps(torch.from_numpy(before.w)[None], num_blocks=BLOCKS)
    found = plain.ensemble.predict([m[0] for m in maps], size=16, with_chances=True)
    assert np.array_equal(found.chances.argmax(axis=0), before.mask)
    assert found.chances.sum(axis=0) == pytest.approx(np.ones((16, 16)), abs=1e-5)
    assert np.array_equal(after.mask, refine(found.chances, before.image, settings, classes=KIDNEY))
    assert not np.array_equal(after.mask, before.mask)
    assert np.array_equal(after.image, before.image)
    assert np.array_equal(after.uncertainty, before.uncertainty)
    with pytest.raises(BadConfig, match="no class 'tuft'"):
        load_labeller(*folders, psi=0.7, refinement=RefinementConfig(smallest_hole_px_of={"tuft": 3}))


def test_settings_without_a_refinement_are_recorded_as_earlier_versions_did():
    assert "refinement" not in DatasetConfig().recorded()
    assert DatasetConfig(refinement=RefinementConfig()).recorded()["refinement"]["radius_px"] == 2


def test_a_dataset_comes_from_two_stage_folders(stages, tmp_path):
    config = DatasetConfig(num=9)
    manifest = run_dataset(config, generator=stages / "generator", classifier=stages / "classifier", out=tmp_path / "d", seed=3)
    assert manifest.counts == {"pairs": 9, "candidates": 10, "dropped": 1, "mpp": 2.0, "size_px": 16, "annotator": "nobody"}
    assert PairFolder(tmp_path / "d").classes == KIDNEY
    again = run_dataset(config, generator=stages / "generator", classifier=stages / "classifier", out=tmp_path / "e", seed=3)
    assert again == manifest
    assert "nobody" in (tmp_path / "d" / "README.md").read_text()


def test_stages_that_do_not_belong_together_are_refused(stages, tmp_path):
    _generator(tmp_path / "other", 2)
    with pytest.raises(BadInput, match="another generator"):
        load_labeller(tmp_path / "other", stages / "classifier", psi=0.7)


def test_a_stage_that_was_not_run_is_named(stages, tmp_path):
    with pytest.raises(BadInput, match="has not been finished"):
        run_dataset(DatasetConfig(num=1), generator=tmp_path / "none", classifier=stages / "classifier", out=tmp_path / "d", seed=3)
    (tmp_path / "classifier").mkdir()
    with pytest.raises(DamagedArtifact):
        load_labeller(stages / "generator", tmp_path / "classifier", psi=0.7)


def test_pairs_of_one_condition_have_the_latents_of_that_condition(tmp_path):
    conditions = {"by": "stain", "names": ["HE", "PAS"], "counts": [1, 1]}
    with open_stage(tmp_path / "g", stage="generator", config={}, seed=0, inputs={}) as stage:
        spec = NetworkSpec(resolution=16, z_dim=8, w_dim=8, channel_base=128, channel_max=8, label_dim=2)
        save_generator(tmp_path / "g" / GENERATOR_FILE, Generator(spec), mpp=2.0, trained={"conditions": conditions})
        stage.seal(counts={})
    generator = load_generator(tmp_path / "g" / GENERATOR_FILE)
    _classifier(tmp_path / "c", generator)
    z = stream(3, "dataset.z", 0).standard_normal(8, dtype=np.float32)
    for condition in ("HE", "PAS"):
        label, _ = load_labeller(tmp_path / "g", tmp_path / "c", psi=0.7, condition=condition)
        expected = generator.asked_for(condition).map(torch.from_numpy(z)[None], psi=0.7)[0].numpy()
        assert np.array_equal(label(z).w, expected)
    with pytest.raises(BadInput, match="no stain 'MSB'"):
        load_labeller(tmp_path / "g", tmp_path / "c", psi=0.7, condition="MSB")
