"""A whole small run on a tiny generator of ours; masks are a rule on the image that colour alone cannot settle."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import ndimage

from hdgan.annotations.config import AnnotationsConfig
from hdgan.annotations.stage import run_annotations
from hdgan.classifier.config import ClassifierConfig
from hdgan.classifier.stage import run_classifier
from hdgan.features.config import FeaturesConfig
from hdgan.features.stage import run_features
from hdgan.generator.networks import Generator
from hdgan.generator.spec import NetworkSpec
from hdgan.generator.weights import FILE, save_generator
from hdgan.labels import ClassMap, LabelClass
from hdgan.samples.config import SamplesConfig
from hdgan.samples.stage import run_samples
from hdgan.store.atomic import write_json, write_png
from hdgan.store.bank import SampleBank
from hdgan.store.stage import open_stage

CLASSES = ClassMap((LabelClass("dark", "#202020"), LabelClass("bright", "#f0e0a0"), LabelClass("never seen", "#00ff00")))


@pytest.fixture(scope="session")
def small_run(tmp_path_factory) -> SimpleNamespace:
    root = tmp_path_factory.mktemp("run")
    folders = {name: root / name for name in ("generator", "samples", "masks", "annotations", "features", "classifier")}
    run = SimpleNamespace(root=root, **folders)
    torch.manual_seed(0)
    spec = NetworkSpec(resolution=32, z_dim=16, w_dim=16, channel_base=512, channel_max=24, start="latent", noise_from_px=32)
    with open_stage(run.generator, stage="generator", config={}, seed=0, inputs={}) as stage:
        save_generator(run.generator / FILE, Generator(spec), mpp=2.0, trained={})
        stage.seal(counts={})
    run_samples(SamplesConfig(num=16, psi=1.0, shortlist=4), generator=run.generator, out=run.samples, seed=0)
    draw_masks(run.samples, run.masks)
    config = AnnotationsConfig(train=8, validate=2, test=6, annotator="painted rule", class_map=run.masks / "classes.json")
    run_annotations(config, samples=run.samples, masks=run.masks, out=run.annotations, seed=0)
    inputs = {"generator": run.generator, "samples": run.samples, "annotations": run.annotations}
    run_features(FeaturesConfig(num_blocks=4, image=False), **inputs, out=run.features, seed=0)
    settings = ClassifierConfig(hidden=(24, 8), members=2, epochs=8, batch_pixels=256, pixels_per_image=800, lr=5e-3)
    run_classifier(settings, features=run.features, annotations=run.annotations, out=run.classifier, seed=0)
    return run


def annotate_some(run: SimpleNamespace, root: Path, names: Collection[str], *, redo: bool = False, suggested: Collection[str] = ()) -> None:
    """In `root`: annotations of the samples called `names` alone, 4 to train, 2 to validate and 2 to test on, and the ensemble that learnt from them."""
    masks = root / "masks"
    shutil.rmtree(masks, ignore_errors=True)
    for name in (*(f"{name}.png" for name in names), "classes.json"):
        masks.mkdir(exist_ok=True)
        shutil.copy(run.masks / name, masks / name)
    folders = {name: root / name for name in ("annotations", "features", "classifier")}
    config = AnnotationsConfig(train=4, validate=2, test=2, annotator="painted rule", class_map=masks / "classes.json")
    run_annotations(config, samples=run.samples, masks=masks, out=folders["annotations"], suggested=suggested, seed=0, redo=redo)
    inputs = {"generator": run.generator, "samples": run.samples, "annotations": folders["annotations"]}
    run_features(FeaturesConfig(num_blocks=4, image=False), **inputs, out=folders["features"], seed=0, redo=redo)
    settings = ClassifierConfig(hidden=(8, 8), members=2, epochs=1, batch_pixels=256, pixels_per_image=200)
    run_classifier(settings, features=folders["features"], annotations=folders["annotations"], out=folders["classifier"], seed=0, redo=redo)


def draw_masks(samples: Path, out: Path) -> None:
    """Bright or dark after heavy smoothing, against the image's own median."""
    bank = SampleBank(samples)
    for row in bank.rows:
        smooth = ndimage.gaussian_filter(bank.image(row.index).astype(float).mean(axis=2), 3.0)
        write_png(out / f"{row.name}.png", (smooth > np.median(smooth)).astype(np.uint8))
    write_json(out / "classes.json", CLASSES.to_json())
