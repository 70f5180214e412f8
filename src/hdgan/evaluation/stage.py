"""The evaluation stage: the classifier on the annotated images that it never saw, beside its controls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hdgan.annotations.reader import AnnotationSet
from hdgan.classifier.config import ClassifierConfig
from hdgan.classifier.ensemble import FILE as ENSEMBLE_FILE
from hdgan.classifier.ensemble import Ensemble, Prediction
from hdgan.errors import BadInput
from hdgan.evaluation import compare, controls
from hdgan.evaluation.config import EvaluationConfig
from hdgan.evaluation.controls import Predictor
from hdgan.evaluation.report import build_page
from hdgan.features.bank import FeatureBank
from hdgan.features.colour import has_image
from hdgan.generator.weights import FILE as GENERATOR_FILE
from hdgan.generator.weights import untrained_like
from hdgan.plots.panels import Panel, panel_sheet
from hdgan.progress import SILENT, Progress, track
from hdgan.store.atomic import write_json, write_png, write_text
from hdgan.store.bank import SampleBank
from hdgan.store.stage import Manifest, manifest_hash, open_stage, read_manifest

REPORT = "report.json"
PAGE = "report.html"
PANELS = "panels.png"
SCHEMA = 1

Maker = Callable[[], Callable[[str], np.ndarray]]
"""Fits a method when it is asked for; what it gives turns an image's name into a mask."""


def run_evaluation(
    config: EvaluationConfig,
    *,
    generator: Path,
    samples: Path,
    annotations: Path,
    features: Path,
    classifier: Path,
    out: Path,
    seed: int,
    extra_predictors: Mapping[str, Predictor] | None = None,
    redo: bool = False,
    progress: Progress = SILENT,
) -> Manifest:
    """Writes report.json, report.html and panels.png; `extra_predictors` are controls that take an image (the U-Net).

    Raises:
        BadInput: no image is held out for the test.
    """
    folders = {"generator": generator, "samples": samples, "annotations": annotations, "features": features, "classifier": classifier}
    inputs = {name: manifest_hash(folder) for name, folder in folders.items()}
    with open_stage(out, stage="evaluation", config=config.model_dump(mode="json"), seed=seed, inputs=inputs, redo=redo) as stage:
        if stage.manifest is not None:
            return stage.manifest
        annotated, bank, maps = AnnotationSet(annotations), SampleBank(samples), FeatureBank(features, generator=generator, samples=samples)
        names = annotated.split["test"]
        if not names:
            raise BadInput(annotations, "no image is held out for the test", "set annotations.test above 0")
        ensemble = Ensemble.load(classifier / ENSEMBLE_FILE)
        own = {name: ensemble.predict(maps.maps(name), size=annotated.resolution) for name in names}
        settings = ClassifierConfig.model_validate(read_manifest(classifier).config)
        predictors = _predictors(own, config, settings, bank, annotated, maps, generator, extra_predictors or {}, seed)
        report = _report(own, predictors, config, annotated, has_colour=has_image(maps.taps), seed=seed, progress=progress)
        panels = [_panel(name, own[name], bank, annotated) for name in names[: config.panels]]
        write_json(out / REPORT, report)
        write_png(out / PANELS, panel_sheet(panels, annotated.classes))
        write_text(out / PAGE, build_page(report, annotated.classes, panels))
        pooled = report["methods"]["hdgan"]["pooled"]
        counts = {"images": len(names), "macro_dice": pooled["macro"]["dice"], "pixel_accuracy": pooled["pixel_accuracy"]}
        return stage.seal(counts=counts)


def _predictors(
    own: Mapping[str, Prediction],
    config: EvaluationConfig,
    settings: ClassifierConfig,
    bank: SampleBank,
    annotated: AnnotationSet,
    maps: FeatureBank,
    generator: Path,
    extra: Mapping[str, Predictor],
    seed: int,
) -> dict[str, Maker]:
    """Ours and the wanted controls; each is fitted when it is asked for, so that progress can be told."""
    makers: dict[str, Maker] = {"hdgan": lambda: lambda name: own[name].mask}
    if "filters" in config.controls:
        makers["filters"] = lambda: controls.fit_control(controls.filter_control(bank), annotated, settings, seed=seed)
    if "untrained" in config.controls:

        def untrained() -> Callable[[str], np.ndarray]:
            network = untrained_like(generator / GENERATOR_FILE, seed=seed)
            found = controls.untrained_control(bank, network, num_blocks=maps.num_blocks, has_image=has_image(maps.taps))
            return controls.fit_control(found, annotated, settings, seed=seed)

        makers["untrained"] = untrained
    makers["constant"] = lambda: controls.constant_control(annotated)
    for key, predict in extra.items():
        makers[key] = partial(controls.image_control, predict, bank)
    return {name: makers[name] for name in controls.in_order(makers)}


def _report(
    own: Mapping[str, Prediction],
    predictors: Mapping[str, Maker],
    config: EvaluationConfig,
    annotated: AnnotationSet,
    *,
    has_colour: bool,
    seed: int,
    progress: Progress,
) -> dict[str, Any]:
    names = annotated.split["test"]
    methods = {}
    for method in track(predictors, total=len(predictors), label="measuring ours and the controls", progress=progress):
        found = compare.matrices(predictors[method](), annotated, names)
        methods[method] = compare.method_report(found, names, resamples=config.resamples, seed=seed)
    masks = {name: prediction.mask for name, prediction in own.items()}
    uncertainties = {name: prediction.uncertainty for name, prediction in own.items()}
    return {
        "schema": SCHEMA,
        "annotator": annotated.annotator,
        "remark": config.remark,
        "classes": annotated.classes.to_json(),
        "images": list(names),
        "num_train": len(annotated.split["train"]),
        "num_validate": len(annotated.split["validate"]),
        "has_colour": has_colour,
        "methods": methods,
        "certainty": compare.certainty_report(masks, uncertainties, annotated),
        "definitions": compare.DEFINITIONS,
    }


def _panel(name: str, prediction: Prediction, bank: SampleBank, annotated: AnnotationSet) -> Panel:
    image = bank.image(bank.by_name(name).index)
    return Panel(image, prediction.mask, annotated.mask(name), prediction.uncertainty)
