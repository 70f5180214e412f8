"""The downstream stage: does the dataset teach a network to label real tissue?"""

from __future__ import annotations

import functools
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hdgan.downstream.compare import Arm, arms, differences, remarks, shared_settings
from hdgan.downstream.config import DownstreamConfig, SegmenterConfig
from hdgan.downstream.fit import HeldPairs, StoredPairs, fit_segmenter
from hdgan.downstream.measure import label_all, measure
from hdgan.downstream.page import report_page
from hdgan.downstream.panels import panel_sheet
from hdgan.downstream.segmenter import FILE, Segmenter, load_segmenter, save_segmenter
from hdgan.downstream.sets import PairSets
from hdgan.errors import BadConfig, BadInput
from hdgan.labels import ClassMap
from hdgan.progress import SILENT, Progress
from hdgan.store.atomic import write_json, write_png, write_text
from hdgan.store.pairs import PairFolder
from hdgan.store.stage import Manifest, manifest_hash, open_stage, read_manifest

STAGE = "downstream"
REPORT = "report.json"
PANELS = "panels.png"
PAGE = "report.html"
STATE = "state"


def run_downstream(
    config: DownstreamConfig,
    *,
    dataset: Path,
    real: Path,
    out: Path,
    seed: int,
    device: str = "cpu",
    remarks: Sequence[str] = (),
    redo: bool = False,
    progress: Progress = SILENT,
) -> Manifest:
    """The manifest of the comparison in `out`: networks, `report.json`, `report.html`, `panels.png`.

    `dataset` is a finished dataset stage, `real` a folder of sets (`sets.py`). `remarks` are said and stand first in the report.

    Raises:
        BadConfig: real training and test set are the same.
        BadInput: dataset and real pairs differ in classes or scale, or a set is missing.
        StaleStage: `out` holds a comparison of other inputs or settings, and `redo` is not set.
    """
    if config.fit_set == config.test_set:
        raise BadConfig("downstream.test_set", f"{config.test_set!r} is the training set too", "name a set of other blocks")
    sets, pairs = PairSets(real), PairFolder(dataset)
    about = read_manifest(dataset).counts
    _refuse_misfits(pairs, sets, mpp=about.get("mpp"), test_set=config.test_set)
    inputs = {"dataset": manifest_hash(dataset), "real": sets.content_hash}
    shared = functools.partial(_shared, config, sets, pairs)
    recorded = config.model_dump(mode="json")
    with open_stage(out, stage=STAGE, config=recorded, seed=seed, inputs=inputs, redo=redo, before_clearing=shared) as folder:
        if folder.manifest is not None:
            return folder.manifest
        test, settings = sets.tiles(config.test_set), shared()
        chosen = arms(config, synthetic=StoredPairs(pairs), real=sets.tiles(config.fit_set), seed=seed)
        masks: dict[str, list[np.ndarray]] = {}
        for arm in chosen:
            segmenter = _trained(
                arm, settings, classes=pairs.classes, mpp=sets.note.mpp, out=out, seed=seed, device=device, progress=progress
            )
            masks[arm.name] = label_all(segmenter.predict, test)
        report = _report(config, chosen, masks, test, sets=sets, classes=pairs.classes, annotator=about.get("annotator"), seed=seed)
        report["remarks"] = [*remarks, *report["remarks"]]
        write_json(out / REPORT, report)
        _show(config, report, masks, test, classes=pairs.classes, out=out, seed=seed)
        for line in remarks:
            progress.say(line)
        _say(report, progress)
        return folder.seal(
            counts={"test_tiles": len(test), "macro_dice": {row["arm"]: row["scores"]["macro_dice"] for row in report["arms"]}}
        )


def _shared(config: DownstreamConfig, sets: PairSets, pairs: PairFolder) -> SegmenterConfig:
    """The settings of every arm's network, where all pairs that are asked for are there."""
    sets.part(config.fit_set)
    return shared_settings(config.segmenter, tile_px=sets.note.tile_px, synthetic_px=min(pairs.mask(pairs.stems[0]).shape))


def _trained(
    arm: Arm, settings: SegmenterConfig, *, classes: ClassMap, mpp: float, out: Path, seed: int, device: str, progress: Progress
) -> Segmenter:
    """The network of one arm: the one on the disk where an earlier call finished it."""
    path = out / arm.name / FILE
    if not path.exists():
        state = out / arm.name / STATE
        segmenter = fit_segmenter(
            arm.pairs, settings, classes=classes, mpp=mpp, name=arm.name, seed=seed, state=state, device=device, progress=progress
        )
        save_segmenter(path, segmenter, facts={"trained_on": arm.trained_on})
    shutil.rmtree(out / arm.name / STATE, ignore_errors=True)
    return load_segmenter(path, device=device)


def _report(
    config: DownstreamConfig,
    chosen: Sequence[Arm],
    masks: Mapping[str, Sequence[np.ndarray]],
    test: HeldPairs,
    *,
    sets: PairSets,
    classes: ClassMap,
    annotator: str | None,
    seed: int,
) -> dict[str, Any]:
    rows = [
        {
            "arm": arm.name,
            "trained_on": arm.trained_on,
            "scores": measure(masks[arm.name], test, classes=classes, seed=seed, resamples=config.resamples),
        }
        for arm in chosen
    ]
    gaps = differences(masks, test, num_classes=len(classes), seed=seed, resamples=config.resamples)
    note = sets.note
    notes = remarks(rows, gaps, is_same_patient=note.is_same_patient, annotator=annotator)
    tested = {"set": config.test_set, "tiles": len(test), "origin": note.origin, "mpp": note.mpp, "tile_px": note.tile_px}
    return {
        "schema": 1,
        "tested_on": {**tested, "is_same_patient": note.is_same_patient},
        "synthetic_annotator": annotator,
        "arms": rows,
        "differences": gaps,
        "remarks": notes,
    }


def _show(
    config: DownstreamConfig,
    report: Mapping[str, Any],
    masks: Mapping[str, Sequence[np.ndarray]],
    test: HeldPairs,
    *,
    classes: ClassMap,
    out: Path,
    seed: int,
) -> None:
    """Writes the panels and the page."""
    rows = panel_sheet(test, list(masks.values()), num=config.num_panels, classes=classes, seed=seed) if config.num_panels else None
    if rows is not None:
        write_png(out / PANELS, rows)
    write_text(out / PAGE, report_page(report, rows, classes=classes))


def _say(report: Mapping[str, Any], progress: Progress) -> None:
    for row in report["arms"]:
        value = row["scores"]["macro_dice"]
        progress.say(f"{row['arm']}: macro Dice {value:.3f} on {report['tested_on']['tiles']} real tiles, trained on {row['trained_on']}")


def _refuse_misfits(pairs: PairFolder, sets: PairSets, *, mpp: float | None, test_set: str) -> None:
    real_classes = sets.part(test_set).classes
    if pairs.classes.names != real_classes.names:
        found = f"has the classes {', '.join(pairs.classes.names)}, the real pairs {', '.join(real_classes.names)}"
        raise BadInput(pairs.folder, found, "use one class map")
    if mpp is not None and abs(mpp / sets.note.mpp - 1) > 0.02:
        raise BadInput(pairs.folder, f"has {mpp:g} um/px, the real pairs {sets.note.mpp:g}", "cut the real pairs at the dataset's scale")
