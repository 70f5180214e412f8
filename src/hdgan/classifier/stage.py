"""The classifier stage: features and masks in, an ensemble of pixel classifiers out."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hdgan.annotations.reader import AnnotationSet
from hdgan.classifier.calibration import calibrated_temperature
from hdgan.classifier.config import ClassifierConfig
from hdgan.classifier.ensemble import FILE, Ensemble
from hdgan.classifier.fit import fit_member, mask_offsets
from hdgan.classifier.member import Epoch, new_model
from hdgan.classifier.mlp import PixelMlp
from hdgan.classifier.pixels import AnnotatedImages, Image, masks_of
from hdgan.classifier.sampling import class_counts
from hdgan.classifier.shrinkage import principal
from hdgan.classifier.tap_weights import weighted
from hdgan.errors import BadInput, MissingExtra
from hdgan.features import moments
from hdgan.features.bank import FeatureBank
from hdgan.generator.protocol import TapSpec
from hdgan.labels import ClassMap
from hdgan.progress import SILENT, Progress
from hdgan.store.atomic import write_text
from hdgan.store.events import Events
from hdgan.store.stage import Manifest, manifest_hash, open_stage
from hdgan.training import checkpoint

CURVES = "curves.jsonl"
EVENTS = "events"
_MEMBERS = "members"


def run_classifier(
    config: ClassifierConfig,
    *,
    features: Path,
    annotations: Path,
    out: Path,
    seed: int,
    generator: Path | None = None,
    samples: Path | None = None,
    members_at_once: int = 1,
    redo: bool = False,
    progress: Progress = SILENT,
) -> Manifest:
    """Fits the ensemble; epochs that were finished before an interruption are not fitted again.

    `generator` and `samples` are needed where features are recomputed; then the pixels of `members_at_once` classifiers are taken in one
    pass over the images, which changes time and memory and no bit of the result.

    Raises:
        BadInput: no training image is annotated, or one lacks features.
    """
    inputs = {"features": manifest_hash(features), "annotations": manifest_hash(annotations)}
    with open_stage(out, stage="classifier", config=config.model_dump(mode="json"), seed=seed, inputs=inputs, redo=redo) as stage:
        if stage.manifest is not None:
            return stage.manifest
        bank, annotated = FeatureBank(features, generator=generator, samples=samples), AnnotationSet(annotations)
        train, validate = (
            AnnotatedImages(bank, annotated, annotated.split[part], members_at_once=members_at_once) for part in ("train", "validate")
        )
        facts = {
            "num_blocks": bank.num_blocks,
            "generator_hash": bank.generator_hash,
            "resolution": bank.resolution,
            "mpp": bank.mpp,
            "annotator": annotated.annotator,
        }
        ensemble, curve = fit_ensemble(
            train,
            validate,
            config,
            classes=annotated.classes,
            taps=bank.taps,
            facts=facts,
            seed=seed,
            progress=progress,
            keep=out / _MEMBERS,
        )
        ensemble.save(out / FILE)
        write_curves(out, curve)
        counts = {"members": config.members, "train_images": len(train), "validation_images": len(validate)}
        manifest = stage.seal(counts=counts, keep_out=(_MEMBERS, EVENTS))
        shutil.rmtree(out / _MEMBERS, ignore_errors=True)
        return manifest


def write_curves(out: Path, curve: Sequence[Epoch]) -> None:
    """Writes the members' curves below `out`, as lines of JSON and, where TensorBoard is installed, as its events, a folder for each member."""
    write_text(out / CURVES, "".join(json.dumps(row.to_json(), sort_keys=True) + "\n" for row in curve))
    try:
        for number in sorted({row.member for row in curve}):
            rows = [row.to_json() for row in curve if row.member == number]
            points = [{"images": row.pop("epoch"), **{name: value for name, value in row.items() if name != "member"}} for row in rows]
            Events(out / EVENTS / f"member-{number:03d}", points).close()
    except MissingExtra:
        return


def fit_ensemble(
    train: Sequence[Image],
    validate: Sequence[Image],
    config: ClassifierConfig,
    *,
    classes: ClassMap,
    taps: Sequence[TapSpec],
    facts: dict[str, Any],
    seed: int,
    progress: Progress = SILENT,
    keep: Path | None = None,
) -> tuple[Ensemble, list[Epoch]]:
    """An ensemble fitted on (maps, mask) of each training image, and the members' curves; `keep` is a folder to resume from.

    Raises:
        BadInput: there is no training image.
    """
    if not train:
        raise BadInput("annotations", "no image is in the training part of the split", "give train at least 1")
    standardiser = weighted(train.standardiser() if isinstance(train, AnnotatedImages) else _measured(train), taps, by=config.tap_weights)
    projection = None
    if config.components is not None:
        projection = principal(train, standardiser=standardiser, num=config.components, whitening=config.whitening, seed=seed)
    members, curve = [], []
    progress.start("fitting pixel classifiers", total=config.members)
    for number in range(config.members):
        found = None if keep is None else _kept(keep, number, num_in=len(standardiser.mean), num_classes=len(classes), config=config)
        if found is None:
            found = fit_member(
                train,
                validate,
                config,
                standardiser=standardiser,
                num_classes=len(classes),
                seed=seed,
                number=number,
                projection=projection,
                state=None if keep is None else _state_path(keep, number),
            )
            if keep is not None:
                facts_kept = {"curve": [row.to_json() for row in found[1]]}
                checkpoint.write_tensors(_member_path(keep, number), found[0].state_dict(), facts_kept)
                _state_path(keep, number).unlink(missing_ok=True)
        members.append(found[0])
        curve.extend(found[1])
        best = max(row.macro_dice for row in found[1])  # nan where no image is held out for validation
        progress.advance(note="" if math.isnan(best) else f"macro Dice {best:.3f}")
    progress.finish()
    shape = {"hidden": list(config.hidden), "dropout": config.dropout, "norm": config.norm, "order": config.order}
    counts = class_counts(masks_of(train), len(classes))
    decided = {
        "temperature": calibrated_temperature(members, validate, standardiser=standardiser, seed=seed) if config.calibrate else 1.0,
        "mask_offsets": mask_offsets(counts, config.mask_balance).tolist(),
    }
    return Ensemble(members, standardiser=standardiser, classes=classes, taps=taps, facts=facts | shape | decided), curve


def _measured(images: Sequence[Image]) -> moments.Standardiser:
    return moments.measure((maps for maps, _ in images), size=images[0][1].shape[0])


def _kept(folder: Path, number: int, *, num_in: int, num_classes: int, config: ClassifierConfig) -> tuple[PixelMlp, list[Epoch]] | None:
    """A member that was finished earlier; None when there is none or its file is damaged."""
    try:
        tensors, facts = checkpoint.read_tensors(_member_path(folder, number))
        model = new_model(config, num_in=num_in, num_classes=num_classes)
        model.load_state_dict(tensors)
    except (ValueError, RuntimeError):
        return None
    return model.eval(), [Epoch.from_json(row) for row in facts["curve"]]


def _member_path(folder: Path, number: int) -> Path:
    return folder / f"member-{number:03d}.safetensors"


def _state_path(folder: Path, number: int) -> Path:
    return folder / f"training-{number:03d}.safetensors"
