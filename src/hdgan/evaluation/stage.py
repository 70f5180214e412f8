"""The evaluation stage: the classifier on the annotated images that it never saw, beside its controls."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hdgan.annotations.reader import AnnotationSet
from hdgan.annotations.split import RANDOM, Part
from hdgan.classifier.config import ClassifierConfig
from hdgan.classifier.ensemble import FILE as ENSEMBLE_FILE
from hdgan.classifier.ensemble import Ensemble
from hdgan.classifier.stage import CURVES
from hdgan.errors import BadInput
from hdgan.evaluation import compare, controls
from hdgan.evaluation.cleanup import cleanup_report
from hdgan.evaluation.config import EvaluationConfig
from hdgan.evaluation.controls import Predictor
from hdgan.evaluation.counts import count
from hdgan.evaluation.folds import cross_validate, refuse_more_folds
from hdgan.evaluation.held_out import HeldOut, measure_held_out
from hdgan.evaluation.report import build_page
from hdgan.features.bank import FeatureBank
from hdgan.features.colour import has_image
from hdgan.generator.weights import FILE as GENERATOR_FILE
from hdgan.generator.weights import untrained_like
from hdgan.plots.panels import panel_sheet
from hdgan.progress import SILENT, Progress, track
from hdgan.store.atomic import write_json, write_png, write_text
from hdgan.store.bank import SampleBank
from hdgan.store.stage import Manifest, manifest_hash, open_stage, read_manifest

REPORT = "report.json"
PAGE = "report.html"
PANELS = "panels.png"
SCHEMA = 2

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
    is_afresh: bool = False,
    progress: Progress = SILENT,
) -> Manifest:
    """Writes report.json, report.html and panels.png; `extra_predictors` are controls that take an image (the U-Net).

    With `is_afresh` a report that is current is made again too, because such a control has changed.

    Raises:
        BadConfig: the refinement names a class that there is not, or there are fewer annotated images than folds.
        BadInput: no image is held out for the test.
    """
    folders = {"generator": generator, "samples": samples, "annotations": annotations, "features": features, "classifier": classifier}
    inputs = {name: manifest_hash(folder) for name, folder in folders.items()}
    recorded, checked = config.model_dump(mode="json"), functools.partial(_checked, config, annotations)
    begun: dict[str, Any] = {"config": recorded, "seed": seed, "inputs": inputs}
    with open_stage(out, stage="evaluation", **begun, redo=redo, is_afresh=is_afresh, before_clearing=checked) as stage:
        if stage.manifest is not None:
            return stage.manifest
        annotated, bank, maps = checked(), SampleBank(samples), FeatureBank(features, generator=generator, samples=samples)
        ensemble, parts = Ensemble.load(classifier / ENSEMBLE_FILE), _held_out_parts(annotated)
        own = measure_held_out(ensemble, parts, config, annotated, bank, maps, progress=progress)
        settings = ClassifierConfig.model_validate(read_manifest(classifier).config)
        predictors = _predictors(config, settings, bank, annotated, maps, generator, extra_predictors or {}, seed)
        report = _report(own, predictors, config, settings, annotated, maps, seed=seed, progress=progress)
        panels = own["test"].panels
        write_json(out / REPORT, report)
        write_png(out / PANELS, panel_sheet(panels, annotated.classes))
        write_text(out / PAGE, build_page(report, annotated.classes, panels, curves=_curves(classifier / CURVES)))
        pooled = report["methods"]["hdgan"]["pooled"]
        counts = {"images": len(annotated.split["test"]), "macro_dice": pooled["macro"]["dice"], "pixel_accuracy": pooled["pixel_accuracy"]}
        return stage.seal(counts=counts)


def _checked(config: EvaluationConfig, annotations: Path) -> AnnotationSet:
    """The annotations, of which `config` asks for nothing that they have not."""
    annotated = AnnotationSet(annotations)
    if not annotated.split["test"]:
        raise BadInput(annotations, "no image is held out for the test", "set annotations.test above 0")
    config.refinement.check(annotated.classes)
    if config.folds >= 2:
        refuse_more_folds(config.folds, annotated)
    return annotated


def _held_out_parts(annotated: AnnotationSet) -> dict[Part, Sequence[str]]:
    """The names of both test sets and of the validation images, where there are any."""
    parts: tuple[Part, ...] = ("test", RANDOM, "validate")
    return {part: annotated.split[part] for part in parts if annotated.split.get(part)}


def _predictors(
    config: EvaluationConfig,
    settings: ClassifierConfig,
    bank: SampleBank,
    annotated: AnnotationSet,
    maps: FeatureBank,
    generator: Path,
    extra: Mapping[str, Predictor],
    seed: int,
) -> dict[str, Maker]:
    """The wanted controls; each is fitted when it is asked for, so that progress can be told."""
    makers: dict[str, Maker] = {}
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
        makers[key] = functools.partial(controls.image_control, predict, bank)
    return {name: makers[name] for name in controls.in_order(makers)}


def _report(
    own: Mapping[Part, HeldOut],
    predictors: Mapping[str, Maker],
    config: EvaluationConfig,
    settings: ClassifierConfig,
    annotated: AnnotationSet,
    maps: FeatureBank,
    *,
    seed: int,
    progress: Progress,
) -> dict[str, Any]:
    split, distance_px = annotated.split, config.band_px(annotated.resolution)
    measured: dict[str, Any] = {"distance_px": distance_px, "mpp": annotated.mpp, "resamples": config.resamples, "seed": seed}
    ours = {part: found.counts for part, found in own.items()}
    test_sets = [part for part in own if part != "validate"]
    methods = {part: {"hdgan": compare.method_report(ours[part], annotated.classes, **measured)} for part in test_sets}
    for method in track(predictors, total=len(predictors), label="measuring the controls", progress=progress):
        predict = predictors[method]()
        for part in test_sets:
            counted = count(predict, annotated, split[part], distance_px=distance_px)
            methods[part][method] = compare.method_report(counted, annotated.classes, **measured)
    apart = {part: {"images": list(split[part]), "methods": methods[part], **own[part].sureness()} for part in test_sets}
    return {
        "schema": SCHEMA,
        "annotator": annotated.annotator,
        "remark": config.remark,
        "classes": annotated.classes.to_json(),
        "num_train": len(split["train"]),
        "num_validate": len(split["validate"]),
        "has_colour": has_image(maps.taps),
        **apart["test"],
        "cleanup": cleanup_report(config.refinement, {part: (ours[part], found.cleaned) for part, found in own.items()}),
        "coarsest_cell": {"px": maps.facts.px_per_coarsest_cell, "um": maps.facts.um_per_coarsest_cell},
        "folds": _folds(config, settings, annotated, maps, distance_px=distance_px, seed=seed, progress=progress),
        "definitions": compare.DEFINITIONS,
        **({"random": apart[RANDOM]} if RANDOM in apart else {}),
    }


def _folds(
    config: EvaluationConfig,
    settings: ClassifierConfig,
    annotated: AnnotationSet,
    maps: FeatureBank,
    *,
    distance_px: float,
    seed: int,
    progress: Progress,
) -> dict[str, Any] | None:
    if config.folds < 2:
        return None
    fit = controls.fitting(maps.maps, annotated, settings, seed=seed)
    return cross_validate(fit, annotated, num=config.folds, distance_px=distance_px, seed=seed, progress=progress)


def _curves(path: Path) -> list[dict[str, Any]]:
    """The rows of the classifier's curves; none where it wrote none."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
