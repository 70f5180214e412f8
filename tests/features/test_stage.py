from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch

from hdgan.annotations.reader import AnnotationSet
from hdgan.errors import BadConfig, BadInput, DamagedArtifact
from hdgan.features import stage
from hdgan.features.bank import FeatureBank
from hdgan.features.colour import image_map
from hdgan.features.config import FeaturesConfig
from hdgan.features.redraw import rounded
from hdgan.features.stage import extract, run_features
from hdgan.generator.weights import FILE, load_generator
from hdgan.store.atomic import read_image, read_json, write_json, write_png
from hdgan.store.bank import SampleBank
from hdgan.store.stage import manifest_hash, verify


def test_stored_maps_are_what_the_generator_computes(small_run):
    features, samples = FeatureBank(small_run.features), SampleBank(small_run.samples)
    generator = load_generator(small_run.generator / FILE)
    assert features.taps == generator.taps(4)
    name = features.names[3]
    _, maps = generator.render_taps(torch.from_numpy(samples.latent(samples.by_name(name).index)).unsqueeze(0), num_blocks=4)
    for stored, drawn in zip(features.maps(name), maps, strict=True):
        torch.testing.assert_close(stored, drawn[0], rtol=0, atol=1e-5)


def test_an_interrupted_extraction_ends_with_the_same_bytes(small_run, tmp_path):
    inputs = {name: getattr(small_run, name) for name in ("generator", "samples", "annotations")}
    out = tmp_path / "features"
    shutil.copytree(small_run.features, out)
    (out / "manifest.json").rename(out / "inprogress.json")  # as if it had been cut off
    manifest = read_json(out / "inprogress.json")
    write_json(out / "inprogress.json", {key: manifest[key] for key in ("stage", "config", "seed", "inputs")})
    (out / "features.json").unlink()
    next((out / "maps").iterdir()).unlink()
    run_features(FeaturesConfig(num_blocks=4, image=False), **inputs, out=out, seed=0)
    assert manifest_hash(out) == manifest_hash(small_run.features)


def test_images_done_before_an_interruption_are_not_done_again(small_run, tmp_path, monkeypatch):
    inputs = {name: getattr(small_run, name) for name in ("generator", "samples", "annotations")}
    extracted = []

    def killed_at_the_third(*args, **kwargs):
        if len(extracted) == 2:
            raise KeyboardInterrupt
        extracted.append(args[3])
        return extract(*args, **kwargs)

    monkeypatch.setattr(stage, "extract", killed_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        run_features(FeaturesConfig(num_blocks=4, image=False), **inputs, out=tmp_path / "f", seed=0)
    assert not (tmp_path / "f" / "manifest.json").exists()
    monkeypatch.setattr(stage, "extract", lambda *args, **kwargs: extracted.append(args[3]) or extract(*args, **kwargs))
    run_features(FeaturesConfig(num_blocks=4, image=False), **inputs, out=tmp_path / "f", seed=0)
    assert len(extracted) == len(set(extracted)) == 16
    assert manifest_hash(tmp_path / "f") == manifest_hash(small_run.features)
    assert not (tmp_path / "f" / "parts").exists()


def test_the_index_says_how_each_image_compared_when_it_was_drawn_again(small_run):
    index = read_json(small_run.features / "features.json")
    assert len(index["images"]) == 16
    assert {about["recheck"]["outcome"] for about in index["images"].values()} <= {"identical", "rounding"}
    assert sum(read_json(small_run.features / "manifest.json")["counts"]["recheck"].values()) == 16
    assert index["um_per_coarsest_cell"] == 2.0 * 32 / 4 == FeatureBank(small_run.features).facts.um_per_coarsest_cell


def test_writing_to_maps_in_memory_leaves_the_file_alone(small_run):
    bank = FeatureBank(small_run.features)
    before = bank.maps(bank.names[0])[0].clone()
    bank.maps(bank.names[0])[0].zero_()
    assert torch.equal(bank.maps(bank.names[0])[0], before)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e6], ids=["no number", "infinite", "too large for float16"])
def test_values_that_cannot_be_stored_are_refused(value):
    with pytest.raises(BadInput, match="sample 000000: its features are not finite in float16"):
        rounded([torch.zeros(1, 2, 4, 4), torch.full((1, 1, 8, 8), value)], name="000000", dtype="float16")


def test_a_picture_that_changed_after_it_was_drawn_is_refused(small_run, tmp_path):
    samples = tmp_path / "samples"
    shutil.copytree(small_run.samples, samples)
    path = samples / "images" / "000000.png"
    write_png(path, np.ascontiguousarray(read_image(path)[:, ::-1]))
    inputs = {"generator": small_run.generator, "samples": samples, "annotations": small_run.annotations}
    with pytest.raises(BadInput, match="000000 has changed since it was drawn"):
        run_features(FeaturesConfig(num_blocks=4, image=False), **inputs, out=tmp_path / "f", seed=0)


def test_half_precision_rounds_a_little(small_run, tmp_path):
    inputs = {name: getattr(small_run, name) for name in ("generator", "samples", "annotations")}
    run_features(FeaturesConfig(num_blocks=4, image=False, dtype="float16"), **inputs, out=tmp_path / "half", seed=0)
    half, full = FeatureBank(tmp_path / "half"), FeatureBank(small_run.features)
    for ours, exact in zip(half.maps(full.names[0]), full.maps(full.names[0]), strict=True):
        torch.testing.assert_close(ours.float(), exact, rtol=1e-3, atol=1e-4)
    assert (tmp_path / "half" / "maps" / f"{full.names[0]}.npy").stat().st_size < 0.6 * (
        small_run.features / "maps" / f"{full.names[0]}.npy"
    ).stat().st_size


def test_maps_cut_short_are_refused_by_name(small_run, tmp_path):
    shutil.copytree(small_run.features, tmp_path / "f")
    bank = FeatureBank(tmp_path / "f")
    path = tmp_path / "f" / "maps" / f"{bank.names[0]}.npy"
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(DamagedArtifact, match=bank.names[0]):
        bank.maps(bank.names[0])
    with pytest.raises(BadInput, match="no features of 'x'"):
        bank.maps("x")


def test_the_annotated_image_is_the_last_map_unless_it_is_switched_off(small_run, tmp_path):
    inputs = {name: getattr(small_run, name) for name in ("generator", "samples", "annotations")}
    run_features(FeaturesConfig(num_blocks=2), **inputs, out=tmp_path / "f", seed=0)
    stored, samples = FeatureBank(tmp_path / "f"), SampleBank(small_run.samples)
    assert [tap.name for tap in stored.taps][-1] == "image"
    name = AnnotationSet(small_run.annotations).names[0]
    shown = image_map(samples.image(samples.by_name(name).index))
    assert float((stored.maps(name)[-1] - shown).abs().max()) < 0.01
    assert "image" not in [tap.name for tap in FeatureBank(small_run.features).taps]


def test_a_redo_with_more_blocks_than_there_are_leaves_the_maps_that_are_there(small_run, tmp_path):
    shutil.copytree(small_run.features, tmp_path / "f")
    inputs = {name: getattr(small_run, name) for name in ("generator", "samples", "annotations")}
    with pytest.raises(BadConfig, match="blocks"):
        run_features(FeaturesConfig(num_blocks=11), **inputs, out=tmp_path / "f", seed=0, redo=True)
    assert verify(tmp_path / "f") == []
