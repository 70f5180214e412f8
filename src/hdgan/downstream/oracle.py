"""An oracle: a segmenter trained on real (or painted) pairs whose masks enter as an annotator's, under its own name.

It stands in for an expert on generated images where none is at hand. Its held-out Dice is measured on blocks it never saw and belongs
beside every number made with its masks.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hdgan.downstream.config import OracleConfig, SegmenterConfig
from hdgan.downstream.fit import StoredPairs, fit_segmenter
from hdgan.downstream.measure import label_all, measure
from hdgan.downstream.panels import panel_sheet
from hdgan.downstream.segmenter import FILE, Segmenter, load_segmenter, save_segmenter
from hdgan.downstream.sets import PairSets
from hdgan.errors import BadConfig, BadInput
from hdgan.progress import SILENT, Progress, track
from hdgan.store.atomic import read_json, write_json, write_png
from hdgan.store.bank import SampleBank
from hdgan.store.hashing import hash_array
from hdgan.store.pairs import write_classes
from hdgan.store.stage import Manifest, open_stage

STAGE = "oracle"
REPORT = "report.json"
STATE = "state"
SIDECAR = "masks.json"
PANELS = "panels.png"

_PANELS = 24


def run_oracle(
    config: OracleConfig, *, pairs: Path, out: Path, seed: int, device: str = "cpu", redo: bool = False, progress: Progress = SILENT
) -> Manifest:
    """The manifest of an oracle in `out`, trained on one set of the folder of sets `pairs` and measured on another.

    Raises:
        BadConfig: training and test set are the same.
        BadInput: a set is missing.
        StaleStage: `out` holds an oracle of other pairs or settings, and `redo` is not set.
    """
    if config.train_set == config.test_set:
        raise BadConfig("oracle.test_set", f"{config.test_set!r} is the training set too", "name a set of other blocks")
    sets = PairSets(pairs)
    for name in (config.train_set, config.test_set):
        sets.part(name)
    inputs = {"pairs": sets.content_hash}
    with open_stage(out, stage=STAGE, config=config.model_dump(mode="json"), seed=seed, inputs=inputs, redo=redo) as folder:
        if folder.manifest is not None:
            return folder.manifest
        train = sets.part(config.train_set)
        segmenter = fit_segmenter(
            StoredPairs(train),
            _cropped(config.segmenter, sets.note.tile_px),
            classes=train.classes,
            mpp=sets.note.mpp,
            name=config.name,
            seed=seed,
            state=out / STATE,
            device=device,
            progress=progress,
        )
        tiles = sets.tiles(config.test_set)
        masks = label_all(segmenter.predict, tiles)
        scores = measure(masks, tiles, classes=train.classes, seed=seed)
        facts = {"origin": sets.note.origin, "pairs": len(train), "held_out_macro_dice": scores["macro_dice"]}
        save_segmenter(out / FILE, segmenter, facts=facts)
        about = {"annotator": config.name, "origin": sets.note.origin, "is_same_patient": sets.note.is_same_patient, "mpp": sets.note.mpp}
        sizes = {"train_set": config.train_set, "train_pairs": len(train), "test_set": config.test_set}
        write_json(out / REPORT, {"schema": 1, **about, **sizes, "held_out": scores, "remarks": _remarks(config, sets)})
        panels = panel_sheet(tiles, [masks], num=_PANELS, classes=train.classes, seed=seed, side_by_side=4)
        write_png(out / PANELS, panels)
        shutil.rmtree(out / STATE, ignore_errors=True)
        return folder.seal(counts={"train_pairs": len(train), "test_pairs": len(tiles)})


def draw_masks(
    segmenter: Segmenter, bank: SampleBank, names: Sequence[str], *, out: Path, annotator: str = "", progress: Progress = SILENT
) -> tuple[Path, ...]:
    """Writes a mask for each named sample below `out`, with `classes.json` and the sidecar `masks.json`; the masks' paths.

    `annotator` is what the sidecar says of who drew them; without it the segmenter's name.

    Raises:
        BadInput: a sample is unknown or changed, or of another scale than the segmenter learnt.
    """
    if segmenter.mpp is not None and bank.mpp is not None and abs(bank.mpp / segmenter.mpp - 1) > 0.02:
        raise BadInput(bank.folder, f"has {bank.mpp:g} um/px, {segmenter.name} learnt {segmenter.mpp:g}", "train an oracle at that scale")
    sidecar, paths = {}, []
    write_classes(out, segmenter.classes)
    for name in track(names, total=len(names), label=f"masks by {segmenter.name}", progress=progress):
        row = bank.by_name(name)
        image = bank.image(row.index)
        if hash_array(image) != row.image_hash:
            raise BadInput(bank.folder, f"the image of sample {name} has changed since it was drawn", "draw the samples again with --redo")
        paths.append(out / f"{name}.png")
        write_png(paths[-1], segmenter.predict(image))
        sidecar[name] = {"image_hash": row.image_hash, "annotator": annotator or segmenter.name}
    write_json(out / SIDECAR, sidecar)
    return tuple(paths)


def run_masks(*, oracle: Path, samples: Path, names: Sequence[str], out: Path, progress: Progress = SILENT) -> tuple[Path, ...]:
    """Masks by the oracle in stage folder `oracle` for named samples of the bank `samples`, below `out`; as `draw_masks`."""
    segmenter, annotator = load_segmenter(oracle / FILE), signature(read_json(oracle / REPORT))
    return draw_masks(segmenter, SampleBank(samples), names, out=out, annotator=annotator, progress=progress)


def signature(report: Mapping[str, Any]) -> str:
    """Who drew, and how well it draws: the oracle's name and its own Dice on held-out tiles, to stand beside every number."""
    held_out = report["held_out"]
    scores = ", ".join(f"{row['class']} {row['dice']:.2f}" for row in held_out["classes"] if row["dice"] is not None)
    patient = ", same patient" if report["is_same_patient"] else ""
    return f"{report['annotator']} (its own Dice on {held_out['num_images']} held-out tiles{patient}: {scores})"


def _cropped(settings: SegmenterConfig, tile_px: int) -> SegmenterConfig:
    """The settings with the tile as crop, where none is set: the oracle must know what it sees of a generated image, not more."""
    if settings.crop_px is not None:
        return settings
    return settings.model_copy(update={"crop_px": tile_px - tile_px % settings.stride_px})


def _remarks(config: OracleConfig, sets: PairSets) -> list[str]:
    lines = [f"{config.name} is a network, not a person; its masks repeat its errors."]
    if sets.note.is_same_patient:
        lines.append("Training and test blocks are of the same patient: on another patient's tissue it will be worse.")
    return lines
