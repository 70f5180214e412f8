"""Ablations of a finished run, in `ablations/` beside its stages: no manifest changes. Format: docs/formats/ablations.md."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from hdgan.annotations.reader import AnnotationSet
from hdgan.classifier.config import ClassifierConfig
from hdgan.errors import BadConfig, BadInput
from hdgan.evaluation.ablation import Fitted, Row, Trial, charts_of, run_trials, table
from hdgan.evaluation.controls import image_control
from hdgan.evaluation.trials import TRIALS, Subject
from hdgan.features.bank import FeatureBank
from hdgan.generator.weights import FILE, load_generator, untrained_like
from hdgan.pipeline.oracle import unet_control
from hdgan.pipeline.snapshots import snapshots
from hdgan.pipeline.steps import Run
from hdgan.plots.figures import charts
from hdgan.progress import SILENT, Progress
from hdgan.store.atomic import write_png, write_text
from hdgan.store.bank import SampleBank
from hdgan.store.stage import LOCK, holding, manifest_hash, read_manifest

FOLDER = "ablations"
TABLE = "ablations.csv"
CHART = "ablations.png"
WHATS = (*TRIALS, "snapshots")
DEAR = ("presets", "snapshots")
"""Questions that are answered only if they are asked: dozens of fits, or other generators."""


@dataclass(frozen=True)
class Ablations:
    """What was found, and where it was written."""

    rows: list[Row]
    folder: Path


def ablate(run: Run, *, whats: Sequence[str], repeats: int, members: int | None = None, progress: Progress = SILENT) -> Ablations:
    """The rows of the questions `whats`, each trial `repeats` times; trials that were finished before are kept.

    `members` is the number of heads in every trial that does not ask for another; None: that of the run's classifier.

    Raises:
        BadConfig: there is no such question.
        BadInput: a stage was not run, no image is held out for the test, or a question needs an oracle that the run has not.
        Busy: another process makes ablations of this run.
    """
    for what in whats:
        if what not in WHATS:
            raise BadConfig("--what", f"no question {what!r}", f"they are {', '.join(WHATS)}")
    subject = open_subject(run, members=members)
    if not subject.annotated.split["test"]:
        raise BadInput(run.stage("annotations"), "no image is held out for the test", "set annotations.test above 0")
    trials = [trial for what in whats for trial in _trials(what, run, subject, repeats=repeats, progress=progress)]
    out = run.beside(FOLDER)
    made_from = {
        "inputs": {stage: manifest_hash(run.stage(stage)) for stage in ("generator", "samples", "annotations", "features")},
        "classifier": subject.settings.model_dump(mode="json"),
        "control": run.config.control.model_dump(mode="json"),
        "seed": subject.seed,
    }
    distance_px = run.config.evaluation.band_px(subject.annotated.resolution)
    out.mkdir(parents=True, exist_ok=True)
    with holding(out / LOCK):  # two at once would make the same trials
        rows = run_trials(trials, subject.annotated.split, distance_px=distance_px, made_from=made_from, out=out, progress=progress)
        write_text(out / TABLE, table(rows, subject.annotated.classes))
        write_png(out / CHART, charts(charts_of(rows)))
    return Ablations(rows, out)


def open_subject(run: Run, *, members: int | None = None) -> Subject:
    """The generator, images, masks and features of a run, and the settings that its classifier was fitted with.

    Raises:
        BadInput: a stage was not run.
    """
    settings = ClassifierConfig.model_validate(read_manifest(run.stage("classifier")).config)
    if members is not None:
        settings = settings.model_copy(update={"members": members})
    weights, seed = run.stage("generator") / FILE, run.config.run.seed
    return Subject(
        generator=load_generator(weights),
        untrained=partial(untrained_like, weights, seed=seed),
        bank=SampleBank(run.stage("samples")),
        annotated=AnnotationSet(run.stage("annotations")),
        features=FeatureBank(run.stage("features"), generator=run.stage("generator"), samples=run.stage("samples")),
        settings=settings,
        seed=seed,
    )


def _trials(what: str, run: Run, subject: Subject, *, repeats: int, progress: Progress) -> Iterator[Trial]:
    if what == "snapshots":
        yield from snapshots(run, subject, repeats)
        return
    yield from TRIALS[what](subject, repeats)
    if what == "controls":
        predict = unet_control(run, redo=False, progress=progress)
        yield Trial("controls", "unet", 0, lambda: Fitted(image_control(predict, subject.bank), subject.annotated))
