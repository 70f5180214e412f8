"""Two annotators' masks of the same samples, compared in `agreement/` beside the stages: no manifest changes. Format: docs/formats/agreement.md."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hdgan.annotations.intake import Source, check_all, collect
from hdgan.annotations.reader import AnnotationSet
from hdgan.annotations.stage import reading_of
from hdgan.errors import BadInput
from hdgan.evaluation.agreement import Agreement, agreement_report, build_agreement_page
from hdgan.pipeline.steps import Run
from hdgan.progress import SILENT, Progress
from hdgan.store.atomic import decode_png, write_json, write_text
from hdgan.store.bank import SampleBank
from hdgan.store.stage import manifest_hash

FOLDER = "agreement"
REPORT = "agreement.json"
PAGE = "agreement.html"


@dataclass(frozen=True)
class Compared:
    """What was found, and where it was written."""

    report: dict[str, Any]
    folder: Path


def compare_masks(run: Run, masks: Path, *, annotator: str, progress: Progress = SILENT) -> Compared:
    """The masks in the folder `masks`, by `annotator` where its `masks.json` names nobody, beside those that the run has.

    They are read and checked as an import's are, and are not imported: nothing is trained or tested with them.

    Raises:
        BadInput: no masks were imported, or no image has two.
        BadMask: one of the second ones does not fit.
    """
    config, annotated = run.annotations(), AnnotationSet(run.stage("annotations"))
    bank = SampleBank(run.stage("samples"))
    source = collect(masks, known=tuple(row.name for row in bank.rows), classes=annotated.classes)
    also = sorted(source.drawings.keys() - set(annotated.names))
    if len(also) == len(source.drawings):
        remedy = f"the second annotator has to draw some of {', '.join(annotated.names[:6])}, ..."
        raise BadInput(masks, "has no mask of an image that the run has one of", remedy)
    distance_px = run.config.evaluation.band_px(annotated.resolution)
    found, second = Agreement(), set()
    reading = reading_of(config, annotated.classes)
    for mask in check_all(_only(source, annotated.names), bank, reading=reading, annotator=annotator, progress=progress):
        second.add(mask.annotator)
        drawn = np.asarray(decode_png(mask.png), dtype=np.uint8)
        found.note(annotated, mask.name, drawn, bank.image(bank.by_name(mask.name).index), distance_px=distance_px)
    if not found.labelled["both"]:
        raise BadInput(masks, "labels no pixel that the run's masks label", "let both annotate the same parts of the images")
    report = agreement_report(
        found,
        annotated,
        annotators=(annotated.annotator, " + ".join(sorted(second))),
        also=also,
        distance_px=distance_px,
        seed=run.config.run.seed,
    )
    report["inputs"] = {"annotations": manifest_hash(run.stage("annotations")), "second": source.content_hash}
    out = run.beside(FOLDER)
    write_json(out / REPORT, report)
    write_text(out / PAGE, build_agreement_page(report, annotated.classes, found.panels))
    return Compared(report, out)


def _only(source: Source, names: tuple[str, ...]) -> Source:
    """The drawings of those called `names`."""

    def chosen(of: Any) -> dict[str, Any]:
        return {name: value for name, value in of.items() if name in names}

    return Source(
        source.folder,
        chosen(source.drawings),
        chosen(source.image_hashes),
        chosen(source.annotators),
        chosen(source.blends),
        source.content_hash,
    )
