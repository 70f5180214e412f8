"""Which images of a run to annotate next, in `suggestions/` beside its stages: no manifest changes. Format: docs/formats/suggestions.md."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from hdgan.annotations.geojson import geojson_text, mask_to_geojson
from hdgan.annotations.reader import AnnotationSet
from hdgan.annotations.suggestions import FILE, ROUND, SCHEMA, Candidate, Suggestion, choose_next, limits, suggested_names
from hdgan.classifier.ensemble import FILE as ENSEMBLE_FILE
from hdgan.classifier.ensemble import Ensemble, Prediction, label_image
from hdgan.errors import BadInput
from hdgan.generator.weights import FILE as GENERATOR_FILE
from hdgan.generator.weights import TrainedGenerator, load_generator
from hdgan.labels import ClassMap
from hdgan.measures.calibration import image_score
from hdgan.pipeline.steps import SUGGESTIONS, Run
from hdgan.plots.proposals import Proposal, proposal_pages
from hdgan.progress import SILENT, Progress, track
from hdgan.samples.stage import read_random
from hdgan.store.atomic import write_json, write_png, write_text
from hdgan.store.bank import SampleBank
from hdgan.store.hashing import hash_json
from hdgan.store.stage import LOCK, holding, manifest_hash
from hdgan.store.tables import csv_text

TABLE = "suggestions.csv"
OUTLINES = "outlines"
PAGES = "page-{:02d}.png"
LOOKED_AT = "looked-at"
"""While images are labelled, one file for each: what was done before an interruption is not done again."""


@dataclass(frozen=True)
class Suggestions:
    """What was chosen, best first, and where it was written."""

    chosen: tuple[Suggestion, ...]
    shown_by: tuple[int, ...]
    """How many annotated images show each class."""
    classes: ClassMap
    folder: Path


def suggest(run: Run, *, num: int, progress: Progress = SILENT) -> Suggestions:
    """Labels every image of the bank that nobody annotated and that was not drawn at random, and writes the `num` to annotate next.

    The same state of the run gives the same round, which may grow and never shrinks: what was suggested is known to have been. Annotations or
    classifiers that changed begin the next.

    Raises:
        BadInput: a stage was not run, or no image is left.
        Busy: another process suggests images of this run.
        DamagedArtifact: an earlier round cannot be read.
    """
    out = run.beside(SUGGESTIONS)
    suggested_names(out, samples="")  # refuses a damaged round before any work
    bank, annotated = SampleBank(run.stage("samples")), AnnotationSet(run.stage("annotations"))
    taken = {*annotated.names, *read_random(run.stage("samples"))}
    names = [row.name for row in bank.rows if row.name not in taken]
    if not names:
        raise BadInput(run.stage("samples"), "every sample is annotated or was drawn at random", "draw more: samples.num, with --redo")
    inputs = {stage: manifest_hash(run.stage(stage)) for stage in ("samples", "annotations", "classifier")}
    out.mkdir(parents=True, exist_ok=True)
    with holding(out / LOCK):
        look = _Look(run, bank)
        candidates = _looked_at(look, names, out=out / LOOKED_AT, stamp=hash_json(inputs), progress=progress)
        shares = np.stack([_shares(annotated.mask(name), len(annotated.classes)) for name in annotated.names])
        shown_by = (shares >= limits(shares)).sum(axis=0)
        folder, num_before = _round(out, inputs)
        chosen = choose_next(candidates, shares, num=max(num, num_before))
        found = Suggestions(chosen, tuple(shown_by.tolist()), annotated.classes, folder)
        _write(found, look, inputs)
        shutil.rmtree(out / LOOKED_AT)
    return found


class _Look:
    """The run's generator and ensemble, loaded when the first image is labelled."""

    def __init__(self, run: Run, bank: SampleBank) -> None:
        self.bank = bank
        self._run = run

    @cached_property
    def generator(self) -> TrainedGenerator:
        return load_generator(self._run.stage("generator") / GENERATOR_FILE, device=self._run.device)

    @cached_property
    def ensemble(self) -> Ensemble:
        return Ensemble.load(self._run.stage("classifier") / ENSEMBLE_FILE)

    def __call__(self, name: str) -> Prediction:
        """What the ensemble says of the sample called `name`."""
        latent = torch.from_numpy(self.bank.latent(self.bank.by_name(name).index))[None]
        with torch.no_grad():
            return label_image(self.ensemble, self.generator, latent)[1]


def _looked_at(look: _Look, names: Sequence[str], *, out: Path, stamp: str, progress: Progress) -> list[Candidate]:
    """Every named sample as the ensemble sees it; what `out` keeps under the same `stamp` is not labelled again."""
    kept = {name: found for name in names if (found := _kept(out / f"{name}.json", stamp)) is not None}
    missing = [name for name in names if name not in kept]
    for name in track(missing, total=len(names), done=len(kept), label="labelling images", progress=progress):
        seen = look(name)
        # One member disagrees with nobody: its own doubt has to do.
        doubt = seen.uncertainty if len(look.ensemble.members) > 1 else seen.entropy
        kept[name] = Candidate(name, tuple(_shares(seen.mask, len(look.ensemble.classes)).tolist()), image_score(doubt))
        write_json(out / f"{name}.json", {"made_from": stamp, **asdict(kept[name])})
    return [kept[name] for name in names]


def _kept(path: Path, stamp: str) -> Candidate | None:
    with suppress(OSError, ValueError, KeyError, TypeError):
        data = json.loads(path.read_text(encoding="utf-8"))
        if data.pop("made_from") == stamp:
            return Candidate(data["name"], tuple(data["shares"]), data["uncertainty"])
    return None


def _shares(mask: NDArray[np.uint8], num_classes: int) -> NDArray[np.float64]:
    counts: NDArray[np.float64] = np.bincount(mask.ravel(), minlength=num_classes)[:num_classes] / mask.size
    return counts


def _round(out: Path, inputs: dict[str, str]) -> tuple[Path, int]:
    """The folder of this state of the run, and how many images it names: a finished round of the same state, else the next."""
    number = 1
    while (path := out / ROUND.format(number) / FILE).exists():
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["inputs"] == inputs:
            return path.parent, len(data["suggestions"])
        number += 1
    return path.parent, 0


def _write(found: Suggestions, look: _Look, inputs: dict[str, str]) -> None:
    """Table, pages and outlines; the list comes last, since what it names will only train."""
    bank, classes, out = look.bank, found.classes, found.folder
    if not (out / FILE).exists():
        shutil.rmtree(out, ignore_errors=True)  # half-written: nobody was told of it
    shown = []
    for one in found.chosen:
        name, row = one.candidate.name, bank.by_name(one.candidate.name)
        mask = look(name).mask
        about = {"annotator": f"predicted, learnt from {look.ensemble.annotator}", "image_hash": row.image_hash}
        outlines = out / OUTLINES / f"{name}.geojson"
        if not outlines.exists():  # of a finished round: somebody may have corrected it
            write_text(outlines, geojson_text(mask_to_geojson(mask, classes, name=name, metadata=about)))
        remark = f"for {classes.names[one.class_index]}, uncertainty {one.candidate.uncertainty:.3f} nats"
        shown.append(Proposal(name, bank.image(row.index), mask, remark))
    for number, page in enumerate(proposal_pages(shown, classes), start=1):
        write_png(out / PAGES.format(number), page)
    header = ["rank", "name", "for", "uncertainty", *(f"share: {name}" for name in classes.names)]
    lines = [
        [rank, one.candidate.name, classes.names[one.class_index], one.candidate.uncertainty, *one.candidate.shares]
        for rank, one in enumerate(found.chosen, start=1)
    ]
    write_text(out / TABLE, csv_text(header, lines))
    rows = [{"name": one.candidate.name, "for": classes.names[one.class_index]} for one in found.chosen]
    write_json(out / FILE, {"schema": SCHEMA, "inputs": inputs, "suggestions": rows})
