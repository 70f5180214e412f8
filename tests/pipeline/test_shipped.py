from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from hdgan.annotations.config import AnnotationsConfig
from hdgan.annotations.reader import AnnotationSet
from hdgan.annotations.stage import run_annotations
from hdgan.errors import BadInput
from hdgan.generator.weights import FILE, load_generator, untrained_like
from hdgan.pipeline import shipped
from hdgan.pipeline.config import RunConfig
from hdgan.pipeline.run import run_all
from hdgan.pipeline.settings_file import parse_settings
from hdgan.pipeline.steps import Run
from hdgan.samples.config import SamplesConfig
from hdgan.samples.recheck import recheck
from hdgan.samples.stage import read_random, read_shortlist, run_samples
from hdgan.store.atomic import read_image, read_json, read_mask, write_json, write_png
from hdgan.store.bank import SampleBank
from hdgan.store.hashing import hash_array
from hdgan.store.layout import RunFolder
from hdgan.store.stage import manifest_hash, verify

SETTINGS = {
    "run": {"name": "demo", "seed": 5},
    "tiles": {"slides": ["none"], "mpp": 2.0, "tile_px": 32},
    "generator": {"resolution": 32},
    "features": {"num_blocks": 3},
    "classifier": {"hidden": [16, 8], "members": 2, "epochs": 2, "pixels_per_image": 200, "batch_pixels": 128},
    "evaluation": {"controls": ["filters"], "resamples": 20},
    "dataset": {"num": 6},
}
SIZES = {"train": 8, "validate": 2, "test": 6, "annotator": "painted rule"}


@pytest.fixture
def folder(small_run, tmp_path):
    """What ships, packed from a small run."""
    out = tmp_path / "shipped"
    shipped.pack(generator=small_run.generator, samples=small_run.samples, annotations=small_run.annotations, out=out)
    return out


def opened(root, small_run) -> Run:
    own = {**SIZES, "class_map": str(small_run.masks / "classes.json")}
    config = parse_settings({**SETTINGS, "annotations": own}, RunConfig, where="demo.toml")
    return Run(config, RunFolder(root), root).with_masks(root.parent / "shipped" / "masks")


def test_a_packed_run_unpacks_to_the_same_images_latents_and_masks(small_run, folder, tmp_path):
    run = opened(tmp_path / "demo", small_run)
    shipped.unpack(folder, run)
    before, after = SampleBank(small_run.samples), SampleBank(run.stage("samples"))
    assert [row.latent_hash for row in after.rows] == [row.latent_hash for row in before.rows]
    generator = load_generator(run.stage("generator") / "generator.safetensors")
    for index in range(len(before)):
        np.testing.assert_array_equal(after.image(index), before.image(index))
        assert recheck(generator, after, index).is_usable
    was, now = AnnotationSet(small_run.annotations), AnnotationSet(run.stage("annotations"))
    assert now.names == was.names
    assert now.annotator == was.annotator
    for name in now.names:
        np.testing.assert_array_equal(now.mask(name), was.mask(name))


def test_nothing_of_what_was_packed_before_stays(small_run, folder):
    for part, name in (
        ("images", "999998.png"),
        ("masks", "999998.png"),
        ("corrections", "999998.geojson"),
        ("corrections", "corrections.json"),
    ):
        (folder / part).mkdir(exist_ok=True)
        (folder / part / name).write_text("of an earlier generator")
    (folder / "demo.toml").write_text("by hand")
    (folder / shipped.SUGGESTED).write_text('["999998"]')
    shipped.pack(generator=small_run.generator, samples=small_run.samples, annotations=small_run.annotations, out=folder)
    left = {path.stem for part in ("images", "masks", "corrections") for path in (folder / part).glob("*")}
    assert left == {*AnnotationSet(small_run.annotations).names, "masks", "classes"}
    assert (folder / "demo.toml").read_text() == "by hand"
    assert not (folder / shipped.SUGGESTED).exists()


def test_what_ships_in_the_package_is_small_and_belongs_together():
    own = shipped.shipped_folder()
    weights, bank = own / FILE, SampleBank(own)
    assert weights.stat().st_size <= 20e6
    assert all(tensor.dtype != torch.float32 or tensor.numel() < 2 for tensor in load_file(weights).values())
    assert {row.generator_hash for row in bank.rows} == {load_generator(weights).content_hash}
    assert {row.psi for row in bank.rows} == {0.7}
    chosen, suggested = {*read_shortlist(own), *read_random(own)}, read_json(own / shipped.SUGGESTED)
    assert not chosen & set(suggested)
    chosen |= set(suggested)
    for part, suffix in (("images", ".png"), ("masks", ".png"), ("corrections", ".geojson")):
        assert {path.stem for path in (own / part).glob(f"*{suffix}")} == chosen
    stated, looked_at = read_json(own / "masks" / "masks.json"), read_json(own / "corrections" / "corrections.json")
    for name in chosen:
        assert hash_array(read_image(own / "images" / f"{name}.png")) == bank.by_name(name).image_hash
        assert stated[name]["image_hash"] == looked_at[name]["image_hash"] == bank.by_name(name).image_hash
        assert looked_at[name]["proposal_hash"] == hash_array(read_mask(own / "masks" / f"{name}.png"))
        assert looked_at[name]["annotator"]


def test_only_annotated_images_are_carried(small_run, folder):
    carried = {path.stem for path in (folder / "images").glob("*.png")}
    assert carried == set(AnnotationSet(small_run.annotations).names)
    assert {path.stem for path in (folder / "masks").glob("*.png")} == carried


def test_an_annotated_image_is_the_shipped_one_even_where_this_machine_rounds_otherwise(small_run, folder, tmp_path):
    name = AnnotationSet(small_run.annotations).names[0]
    elsewhere = read_image(folder / "images" / f"{name}.png")
    elsewhere[0, 0] ^= 1
    write_png(folder / "images" / f"{name}.png", elsewhere)
    for path in (folder / "samples.json", folder / "masks" / "masks.json"):
        data = read_json(path)
        rows = [row for row in data["samples"] if row["name"] == name] if "samples" in data else [data[name]]
        rows[0]["image_hash"] = hash_array(elsewhere)
        write_json(path, data)
    run = opened(tmp_path / "demo", small_run)
    shipped.unpack(folder, run)
    bank = SampleBank(run.stage("samples"))
    np.testing.assert_array_equal(bank.image(bank.by_name(name).index), elsewhere)
    verdict = recheck(load_generator(run.stage("generator") / "generator.safetensors"), bank, bank.by_name(name).index)
    assert (verdict.outcome, verdict.worst_level) == ("rounding", 1)


def test_unpacking_twice_changes_nothing_and_the_later_stages_run_from_it(small_run, folder, tmp_path):
    run = opened(tmp_path / "demo", small_run)
    shipped.unpack(folder, run)
    hashes = [manifest_hash(run.stage(stage)) for stage in ("generator", "samples", "annotations")]
    shipped.unpack(folder, run)
    assert [manifest_hash(run.stage(stage)) for stage in ("generator", "samples", "annotations")] == hashes
    outcomes = run_all(run, first="features")
    assert [outcome.stage for outcome in outcomes] == ["features", "classifier", "evaluation", "dataset"]
    assert (run.stage("evaluation") / "report.html").stat().st_size > 1000
    assert all(verify(outcome.folder) == [] for outcome in outcomes)
    assert all(outcome.was_current for outcome in run_all(run, first="features"))


def test_latents_of_another_generator_are_refused(small_run, folder, tmp_path):
    from hdgan.generator.weights import save_generator

    other = untrained_like(small_run.generator / "generator.safetensors", seed=9)
    save_generator(folder / "generator.safetensors", other.network, mpp=2.0, trained={})
    with pytest.raises(BadInput, match="was drawn by another generator"):
        shipped.unpack(folder, opened(tmp_path / "demo", small_run))


def test_a_build_without_the_shipped_files_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(shipped.resources, "files", lambda _package: tmp_path)
    with pytest.raises(BadInput, match="not in this build; install hdgan from its repository"):
        shipped.shipped_folder()


@pytest.fixture
def looked_at(small_run, tmp_path):
    """The small run's samples with three drawn at random and one suggested, and its masks with one corrected and one left as it was."""
    samples = tmp_path / "3-samples"
    settings = SamplesConfig(num=16, psi=1.0, shortlist=4, random=3)
    run_samples(settings, generator=small_run.generator, out=samples, seed=0)
    ring = [[0, 0], [8, 0], [8, 8], [0, 8], [0, 0]]
    region = {"geometry": {"type": "Polygon", "coordinates": [ring]}, "properties": {"classification": "never seen"}}
    for name, features in (("000001", [region]), ("000002", [])):
        write_json(tmp_path / "corrections" / f"{name}.geojson", {"type": "FeatureCollection", "features": features})
    config = AnnotationsConfig(
        **{**SIZES, "test": 2, "random_test": 3},
        class_map=small_run.masks / "classes.json",
        corrections=tmp_path / "corrections",
        corrector="B. Eye",
    )
    out = tmp_path / "4-annotations"
    drawn = read_random(samples)
    named = next(name for name in ("000003", "000004", "000005", "000006") if name not in drawn)
    run_annotations(config, samples=samples, masks=small_run.masks, at_random=drawn, suggested=[named], out=out, seed=5)
    return SimpleNamespace(samples=samples, annotations=out)


def test_proposals_corrections_and_the_random_part_survive_packing(small_run, looked_at, tmp_path):
    shipped.pack(generator=small_run.generator, samples=looked_at.samples, annotations=looked_at.annotations, out=tmp_path / "shipped")
    config = parse_settings({**SETTINGS, "annotations": {**SIZES, "test": 2, "random_test": 3}}, RunConfig, where="demo.toml")
    run = Run(config, RunFolder(tmp_path / "demo"), tmp_path / "demo").with_masks(tmp_path / "shipped" / "masks")
    shipped.unpack(tmp_path / "shipped", run)
    was, now = AnnotationSet(looked_at.annotations), AnnotationSet(run.stage("annotations"))
    assert now.rows == was.rows
    assert now.row("000001").annotator == "painted rule; corrected by B. Eye"
    assert now.split == was.split
    assert len(now.split["random"]) == 3
    assert [row.name in now.split["train"] for row in now.rows if row.is_suggested] == [True]
    assert read_random(run.stage("samples")) == read_random(looked_at.samples)
    assert read_shortlist(run.stage("samples")) == read_shortlist(looked_at.samples)
    for name in now.names:
        np.testing.assert_array_equal(now.mask(name), was.mask(name))
        np.testing.assert_array_equal(now.proposal(name), was.proposal(name))
    assert (now.proposal("000001") != now.mask("000001")).any()
    for name in ("corrections.json", "corrections/000001.geojson", "corrections/000002.geojson", "corrections/corrections.json"):
        assert (run.stage("annotations") / name).read_bytes() == (looked_at.annotations / name).read_bytes()
