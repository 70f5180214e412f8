from __future__ import annotations

import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hdgan.annotations.reader import AnnotationSet
from hdgan.classifier.config import ClassifierConfig
from hdgan.classifier.ensemble import FILE as ENSEMBLE
from hdgan.classifier.ensemble import Ensemble
from hdgan.classifier.pixels import AnnotatedImages, pixel_table, validation_table
from hdgan.classifier.stage import run_classifier
from hdgan.errors import BadInput, DamagedArtifact
from hdgan.features import moments
from hdgan.features.bank import FeatureBank
from hdgan.features.config import FeaturesConfig
from hdgan.features.sources import upsampled
from hdgan.features.stage import run_features
from hdgan.features.upsample import gather, upsample_reference
from hdgan.generator.weights import FILE, TrainedGenerator, load_generator
from hdgan.store.atomic import read_image, read_json, write_json, write_png
from hdgan.store.hashing import hash_file
from hdgan.store.stage import read_manifest, verify

SOURCES = ("native", "recompute", "upsampled")
SETTINGS = ClassifierConfig(hidden=(12, 8), members=3, epochs=2, batch_pixels=256, pixels_per_image=200)


def bank_of(run, source: str, dtype: str = "float32") -> FeatureBank:
    return FeatureBank(run.features[source, dtype], generator=run.generator, samples=run.samples)


@pytest.fixture(scope="module")
def run(small_run, tmp_path_factory) -> SimpleNamespace:
    """The small run with features from every source, in both number formats."""
    inputs = {name: getattr(small_run, name) for name in ("generator", "samples", "annotations")}
    features = {}
    for source in SOURCES:
        for dtype in ("float32", "float16"):
            features[source, dtype] = tmp_path_factory.mktemp("features") / f"{source}-{dtype}"
            run_features(FeaturesConfig(num_blocks=3, source=source, dtype=dtype), **inputs, out=features[source, dtype], seed=0)
    return SimpleNamespace(**inputs, features=features)


def all_pixels(size: int) -> tuple[torch.Tensor, torch.Tensor]:
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    return rows.flatten(), columns.flatten()


def features_of(run, source: str, dtype: str = "float32") -> torch.Tensor:
    bank = bank_of(run, source, dtype)
    return gather(bank.maps(bank.names[2]), *all_pixels(32), size=32)


def test_every_source_gives_the_same_pixels_bit_for_bit(run):
    native, recomputed, stored = (features_of(run, source) for source in SOURCES)
    assert torch.equal(native, recomputed)
    assert torch.equal(native, stored)
    bank = bank_of(run, "native")
    torch.testing.assert_close(native, upsample_reference(list(bank.maps(bank.names[2])), 32).flatten(1).t(), rtol=0, atol=1e-5)


@given(st.integers(0, 1000), st.sampled_from([(4, 16), (16, 16), (8, 32), (5, 20), (7, 24)]), st.integers(1, 50))
@settings(max_examples=30)
def test_a_map_is_upsampled_to_the_very_numbers_that_are_gathered(seed, sizes, num_pixels):
    edge, size = sizes
    generator = torch.Generator().manual_seed(seed)
    m = torch.randn(3, edge, edge, generator=generator)
    whole = torch.cat(list(upsampled(m, size=size)))
    places = torch.randint(size * size, (num_pixels,), generator=generator)
    assert torch.equal(gather([m], places // size, places % size, size=size), whole.flatten(1)[:, places].t())


def test_channels_are_upsampled_some_at_a_time(monkeypatch):
    m = torch.randn(5, 4, 4)
    (whole,) = upsampled(m, size=8)
    monkeypatch.setattr("hdgan.features.sources._CHUNK_VALUES", 128)
    parts = list(upsampled(m, size=8))
    assert [len(part) for part in parts] == [2, 2, 1]
    assert torch.equal(torch.cat(parts), whole)


def test_half_precision_rounds_by_a_two_thousandth_and_alike_where_maps_are_kept_or_drawn_again(run):
    exact = features_of(run, "native")
    assert torch.equal(features_of(run, "native", "float16"), features_of(run, "recompute", "float16"))
    for source in SOURCES:
        error = (features_of(run, source, "float16") - exact).abs() / exact.abs().amax(dim=0)
        assert 1e-5 < float(error.max()) < 2 * 2**-11


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_what_is_stored_is_an_array_that_numpy_reads(run, dtype):
    stored = bank_of(run, "upsampled", dtype)
    array = np.load(stored.folder / "upsampled" / f"{stored.names[0]}.npy", mmap_mode="r")
    assert array.shape == (stored.num_channels, 32, 32)
    assert array.dtype == np.dtype(dtype)
    native = np.load(run.features["native", dtype] / "maps" / f"{stored.names[0]}.npy", mmap_mode="r")
    assert native.shape == (sum(tap.channels * tap.resolution**2 for tap in stored.taps),)
    assert not list(run.features["recompute", dtype].rglob("000*.npy"))


def test_the_same_classifier_comes_of_every_source_whatever_is_gathered_at_once(run, tmp_path):
    hashes = set()
    for source, at_once in (("native", 1), ("upsampled", 2), ("recompute", 1), ("recompute", 2), ("recompute", 9)):
        out = tmp_path / f"{source}-{at_once}"
        inputs = {"annotations": run.annotations, "generator": run.generator, "samples": run.samples}
        run_classifier(SETTINGS, features=run.features[source, "float32"], **inputs, members_at_once=at_once, out=out, seed=0)
        hashes.add(hash_file(out / ENSEMBLE))
    assert len(hashes) == 1
    ensemble = Ensemble.load(out / ENSEMBLE)
    native, recomputed, stored = (ensemble.predict(bank_of(run, source).maps("000003"), size=32) for source in SOURCES)
    assert np.array_equal(native.mask, recomputed.mask)
    assert np.array_equal(native.uncertainty, recomputed.uncertainty)
    assert (native.mask == stored.mask).mean() > 0.999  # of upsampled maps the first layer sums in another order
    np.testing.assert_allclose(native.uncertainty, stored.uncertainty, atol=1e-5)


@pytest.mark.parametrize(("at_once", "passes"), [(1, 3), (2, 2), (3, 1)])
def test_images_are_drawn_once_for_each_pass_and_for_the_validation_once(run, tmp_path, monkeypatch, at_once, passes):
    drawn = []
    render = TrainedGenerator.render_taps
    monkeypatch.setattr(TrainedGenerator, "render_taps", lambda *args, **named: drawn.append(1) or render(*args, **named))
    inputs = {"annotations": run.annotations, "generator": run.generator, "samples": run.samples}
    source = run.features["recompute", "float32"]
    run_classifier(SETTINGS, features=source, **inputs, members_at_once=at_once, out=tmp_path / "c", seed=0)
    assert len(drawn) == 8 * passes + 2


def test_tables_of_images_opened_one_by_one_are_those_of_images_in_memory(run):
    bank, annotated = bank_of(run, "recompute"), AnnotationSet(run.annotations)
    names = annotated.split["train"][:3]
    lazy = AnnotatedImages(bank, annotated, names, members_at_once=2)
    held = [(tuple(bank.maps(name)), annotated.mask(name)) for name in names]
    for member in (0, 1, 2, 0):
        for ours, plain in zip(
            pixel_table(lazy, SETTINGS, seed=0, member=member), pixel_table(held, SETTINGS, seed=0, member=member), strict=True
        ):
            assert torch.equal(ours, plain)
    first = validation_table(lazy, seed=0)[0]
    kept = first.clone()
    first.zero_()
    assert torch.equal(validation_table(lazy, seed=0)[0], kept)
    assert torch.equal(validation_table(held, seed=0)[0], kept)
    assert len(lazy[1:]) == 2
    assert torch.equal(lazy[1:][0][0][0], held[1][0][0])
    measured = moments.measure((maps for maps, _ in held), size=32)
    assert torch.equal(lazy.standardiser().mean, measured.mean)
    assert torch.equal(lazy.standardiser().std, measured.std)


def test_maps_that_are_drawn_again_are_compared_with_the_picture_first(run, tmp_path):
    shutil.copytree(run.samples, tmp_path / "samples")
    bank = FeatureBank(run.features["recompute", "float32"], generator=run.generator, samples=tmp_path / "samples")
    path = tmp_path / "samples" / "images" / f"{bank.names[0]}.png"
    write_png(path, np.ascontiguousarray(read_image(path)[:, ::-1]))
    with pytest.raises(BadInput, match=f"{bank.names[0]} is not what its latent gives"):
        bank.maps(bank.names[0])
    bank.maps(bank.names[1])


def test_a_mask_drawn_on_another_picture_is_refused_when_maps_are_drawn_again(run, tmp_path):
    shutil.copytree(run.features["recompute", "float32"], tmp_path / "f")
    index = read_json(tmp_path / "f" / "features.json")
    name = sorted(index["images"])[0]
    index["images"][name]["image_hash"] = "0" * 64
    write_json(tmp_path / "f" / "features.json", index)
    bank = FeatureBank(tmp_path / "f", generator=load_generator(run.generator / FILE), samples=run.samples)
    with pytest.raises(BadInput, match="drawn on another picture"):
        bank.maps(name)


def test_recomputed_features_need_the_generator(run):
    bank = FeatureBank(run.features["recompute", "float32"])
    with pytest.raises(BadInput, match="open it with its generator and samples"):
        bank.maps(bank.names[0])


@pytest.mark.parametrize("source", ["native", "upsampled"])
def test_a_changed_bit_is_found_when_the_maps_are_opened_and_by_verify(run, tmp_path, source):
    folder = tmp_path / "f"
    shutil.copytree(run.features[source, "float32"], folder)
    bank = FeatureBank(folder)
    (path,) = folder.rglob(f"{bank.names[1]}.npy")
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(DamagedArtifact, match=rf"{bank.names[1]}\.npy: block 0 of 1 has changed"):
        bank.maps(bank.names[1])
    assert verify(folder) == [f"{path}: changed since it was written"]
    (bank.maps(bank.names[0])[0]).sum()


@pytest.mark.parametrize(("source", "dtype"), [("native", "float32"), ("native", "float16"), ("upsampled", "float32")])
def test_a_changed_header_is_found_though_every_number_is_as_it_was(run, tmp_path, source, dtype):
    changes = [(f"<f{np.dtype(dtype).itemsize}".encode(), f"<i{np.dtype(dtype).itemsize}".encode())]
    if source == "upsampled":
        changes += [(b"'fortran_order': False", b"'fortran_order': True "), (b", 32, 32)", b", 64, 16)")]
    for i, (before, after) in enumerate(changes):
        shutil.copytree(run.features[source, dtype], folder := tmp_path / f"{i}")
        bank = FeatureBank(folder)
        (path,) = folder.rglob(f"{bank.names[1]}.npy")
        data = path.read_bytes()
        assert data[:128].count(before) == 1
        path.write_bytes(data.replace(before, after, 1))
        with pytest.raises(DamagedArtifact, match=rf"{bank.names[1]}\.npy: says \w+ of shape .* and not {dtype} of .* row by row; extract"):
            bank.maps(bank.names[1])


def test_the_source_and_why_it_was_chosen_are_recorded(run):
    manifest = read_manifest(run.features["recompute", "float32"])
    assert manifest.counts["source"] == "recompute" == FeatureBank(run.features["recompute", "float32"]).facts.source
    assert "memory_budget_gib" not in manifest.config


def test_features_of_an_earlier_version_or_without_an_index_are_refused(run, tmp_path):
    shutil.copytree(run.features["recompute", "float32"], tmp_path / "f")
    index = read_json(tmp_path / "f" / "features.json")
    write_json(tmp_path / "f" / "features.json", {**index, "schema": 1})
    with pytest.raises(BadInput, match="schema 1, this version reads 2"):
        FeatureBank(tmp_path / "f")
    write_json(tmp_path / "f" / "features.json", {key: value for key, value in index.items() if key != "taps"})
    with pytest.raises(DamagedArtifact, match="no list of features"):
        FeatureBank(tmp_path / "f")
    (tmp_path / "f" / "moments.npy").unlink()
    write_json(tmp_path / "f" / "features.json", index)
    with pytest.raises(DamagedArtifact, match=r"moments\.npy"):
        FeatureBank(tmp_path / "f").standardiser(sorted(index["images"])[:1])
    with pytest.raises(BadInput, match="no features of 'x'"):
        FeatureBank(tmp_path / "f").standardiser(["x"])
