"""Where meaning sits in the generator of a finished run, in `latent/` beside its stages: no manifest changes. Format: docs/formats/latent.md."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdgan.classifier.ensemble import FILE as ENSEMBLE_FILE
from hdgan.classifier.ensemble import Ensemble
from hdgan.errors import BadInput
from hdgan.evaluation.latent import block_rows, contour_rows, groups_of, layer_rows, look, probes
from hdgan.evaluation.latent_page import build_latent_page, seen_sheet
from hdgan.pipeline.ablate import open_subject
from hdgan.pipeline.steps import Run
from hdgan.progress import SILENT, Progress, track
from hdgan.store.atomic import write_json, write_png, write_text
from hdgan.store.stage import manifest_hash

FOLDER = "latent"
REPORT = "latent.json"
PAGE = "latent.html"
PICTURES = "latent.png"
SCHEMA = 1
MAX_IMAGES = 8
"""Validation images that are looked at: all that is drawn of them is held at once."""


@dataclass(frozen=True)
class Latent:
    """What was found, and where it was written."""

    report: dict[str, Any]
    folder: Path


def measure_latent(run: Run, *, progress: Progress = SILENT) -> Latent:
    """Probes of every tapped layer and block of the run's features, and its ensemble's margins, on up to eight validation images.

    Raises:
        BadInput: a stage was not run, or no image is held out for validation.
    """
    subject = open_subject(run)
    annotated, maps_of = subject.annotated, subject.features.maps
    names, train = annotated.split["validate"][:MAX_IMAGES], annotated.split["train"]
    if not names:
        raise BadInput(run.stage("annotations"), "no image is held out for validation", "set annotations.validate above 0")
    ensemble = Ensemble.load(run.stage("classifier") / ENSEMBLE_FILE)
    groups = groups_of(subject.features.taps)
    fitted = probes(maps_of, annotated, groups, train=train, seed=subject.seed, progress=progress)
    seen, matrices = [], defaultdict[str, NDArray[np.int64]](lambda: np.zeros((len(annotated.classes),) * 2, dtype=np.int64))
    looked = look(maps_of, annotated, groups, fitted, ensemble, names=names)
    for one, found in track(looked, total=len(names), label="looking at validation images", progress=progress):
        seen.append(one)
        for key, matrix in found.items():
            matrices[key] += matrix
    stages = ("generator", "samples", "annotations", "features", "classifier")
    report: dict[str, Any] = {
        "schema": SCHEMA,
        "inputs": {stage: manifest_hash(run.stage(stage)) for stage in stages},
        "annotator": annotated.annotator,
        "remark": run.config.evaluation.remark,
        "classes": annotated.classes.to_json(),
        "train": list(train),
        "images": list(names),
        "pixels": matrices["all"].sum(axis=1).tolist(),
        "layers": layer_rows(groups, matrices),
        "contours": contour_rows(seen),
        "blocks": block_rows(seen),
    }
    out, images = run.beside(FOLDER), [subject.bank.image(subject.bank.by_name(name).index) for name in names]
    sheet = seen_sheet(seen, images, annotated.classes)
    write_json(out / REPORT, report)
    write_png(out / PICTURES, sheet)
    write_text(out / PAGE, build_latent_page(report, annotated.classes, sheet))
    return Latent(report, out)
