"""The tiles stage: slides in, a tile archive out. Format: docs/formats/tiles.md.

Writes `tiles.zip` and `tiles.csv` (the tiles), `cells.csv` (every cell of the grid with its score and verdict, so that another
threshold can be weighed without reading a slide), `slides.csv` (the slides as used), `qc.png`, and `report.html` with its pictures in `report/`.
The unit of work is one slide; a killed job goes on with the slides that are not finished and writes the same bytes.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from hdgan.errors import BadInput
from hdgan.progress import SILENT, Progress
from hdgan.slides.content import content_hash
from hdgan.slides.reader import open_slide
from hdgan.slides.table import SlideEntry
from hdgan.store.archive import TileArchive, TileRow
from hdgan.store.atomic import write_bytes, write_png, write_text
from hdgan.store.hashing import hash_json
from hdgan.store.stage import Manifest, StageFolder, open_stage
from hdgan.tiles import parts
from hdgan.tiles.config import TilesConfig
from hdgan.tiles.cut import BACKGROUND, KEPT, REASONS, UNREADABLE, Cell, cut_slide, score_cells
from hdgan.tiles.folds import assign_folds, fold_counts, fold_warnings, leaks
from hdgan.tiles.images import run_images
from hdgan.tiles.live import SlideTiles
from hdgan.tiles.pictures import encode_jpeg, thumbnail
from hdgan.tiles.plan import SlidePlan, plan_slides
from hdgan.tiles.qc import draw_sheet
from hdgan.tiles.report import write_report

STAGE = "tiles"
QC = "qc.png"
SLIDES = "slides.csv"


def run_tiles(config: TilesConfig, *, out: Path, seed: int, base: Path, redo: bool = False, progress: Progress = SILENT) -> Manifest:
    """Cuts the slides of `config` into the stage folder `out`; its manifest.

    `base` is the folder that relative paths in `config.slides` start at.

    Raises:
        BadInput: a slide is missing, damaged, without scale or there twice, or no tile stays.
    """
    if config.images is not None:
        return run_images(config, config.images, out=out, seed=seed, base=base, redo=redo, progress=progress)
    plans, problems = plan_slides(config, base=base)
    _check(plans, problems, config, progress)
    inputs = slide_inputs(plans)
    with open_stage(out, stage=STAGE, config=config.recorded(), seed=seed, inputs=inputs, redo=redo) as stage:
        if stage.manifest is None:
            cells = _cut_all(plans, config, out=out, progress=progress)
            _finish(stage, plans, cells, problems, config, seed=seed, base=base, inputs=inputs, progress=progress)
        parts.remove_parts(out)
        assert stage.manifest is not None
        return stage.manifest


def slide_inputs(plans: Sequence[SlidePlan]) -> dict[str, str]:
    """Content hash of each slide, and one of what the slide table says about them.

    Raises:
        BadInput: two slides are the same file.
    """
    inputs: dict[str, str] = {}
    first: dict[str, SlideEntry] = {}
    for plan in plans:
        content = content_hash(plan.entry.path)
        if content in first:
            raise BadInput(plan.entry.path, f"is the same slide as {first[content].path}", "name each slide once")
        first[content] = plan.entry
        inputs[f"slide {plan.entry.name}"] = content
    said = [[p.entry.name, p.entry.patient, p.entry.centre, p.entry.stain, p.slide_mpp, p.level0_px, p.cells] for p in plans]
    return {**inputs, "slide table": hash_json(said)}


def _check(plans: Sequence[SlidePlan], problems: Sequence[BadInput], config: TilesConfig, progress: Progress) -> None:
    if problems and config.broken_slides == "stop":
        raise problems[0]
    for problem in problems:
        progress.say(f"left out: {problem}")
    if not plans:
        raise problems[0]
    if not any(plan.cells for plan in plans):
        largest = max(plans, key=lambda plan: min(plan.size_px))
        size = f"{largest.size_px[0]} x {largest.size_px[1]}"
        what = f"no slide holds a tile of {largest.level0_px} x {largest.level0_px} level-0 px; {largest.entry.name} has {size}"
        raise BadInput(largest.entry.path, what, "ask for a smaller `tile_px` or `margin`, or a finer `mpp`")


def _cut_all(plans: Sequence[SlidePlan], config: TilesConfig, *, out: Path, progress: Progress) -> tuple[Cell, ...]:
    """The cells of all slides, each slide's part on the disk."""
    missing = [plan for plan in plans if not parts.is_whole(parts.part_folder(out, plan.entry.name))]
    total = sum(len(plan.cells) for plan in plans)
    progress.start("tiles", total=total, done=total - sum(len(plan.cells) for plan in missing))
    try:
        for plan in missing:
            with closing(open_slide(plan.entry.path, mpp_override=plan.slide_mpp)) as slide:
                folder, scores = parts.part_folder(out, plan.entry.name), score_cells(slide, plan, config)
                write_bytes(folder / parts.THUMBNAIL, encode_jpeg(thumbnail(scores.overview)))
                parts.write_part(folder, cut_slide(slide, plan, config, scores=scores, progress=progress))
    finally:
        progress.finish()
    return tuple(cell for plan in plans for cell in parts.read_cells(parts.part_folder(out, plan.entry.name) / parts.CELLS))


def _finish(
    stage: StageFolder,
    plans: Sequence[SlidePlan],
    cells: Sequence[Cell],
    problems: Sequence[BadInput],
    config: TilesConfig,
    *,
    seed: int,
    base: Path,
    inputs: Mapping[str, str],
    progress: Progress,
) -> None:
    """Joins the parts and writes what stands beside them."""
    out = stage.path
    verdicts = Counter(cell.verdict for cell in cells)
    if not verdicts[KEPT]:
        raise _nothing_kept(plans, verdicts)
    slides = [plan.entry.name for plan in plans]
    loose = [row for slide in slides for row in TileArchive(parts.part_folder(out, slide)).rows]
    rows = parts.join_parts(out, slides, fold_of=assign_folds(loose, num_folds=config.num_folds, seed=seed))
    assert not leaks(rows), f"patients in several folds: {leaks(rows)}"
    parts.write_cells(out / parts.CELLS, cells)
    write_text(out / SLIDES, _slide_table(plans, cells, rows, problems, inputs))
    with closing(TileArchive(out, SlideTiles(config, base=base, folder=out, contents=inputs))) as archive:
        write_png(out / QC, draw_sheet(archive, cells, {plan.entry.name: plan for plan in plans}, config, seed=seed))
    warnings = fold_warnings(rows, num_folds=config.num_folds)
    for line in warnings:
        progress.say(line)
    write_report(out, plans, cells, problems, warnings, config)
    counts: dict[str, Any] = {
        "slides": len(plans),
        "skipped_slides": len(problems),
        "patients": len({row.patient for row in rows}),
        "cells": len(cells),
        "tiles": verdicts[KEPT],
        "dropped": {reason: verdicts[reason] for reason in REASONS if verdicts[reason] or reason in (BACKGROUND, UNREADABLE)},
        "folds": fold_counts(rows, num_folds=config.num_folds),
        "warnings": list(warnings),
    }
    stage.seal(counts=counts, keep_out=(parts.PARTS,))


def _nothing_kept(plans: Sequence[SlidePlan], verdicts: Mapping[str, int]) -> BadInput:
    where = plans[0].entry.path if len(plans) == 1 else f"{len(plans)} slides"
    always = (BACKGROUND, UNREADABLE)
    reasons = ", ".join(f"{verdicts[reason]} {reason}" for reason in REASONS if verdicts[reason] or reason in always)
    what = f"no tile stays of {sum(verdicts.values())}: {reasons}"
    return BadInput(where, what, "raise `max_background`, or look at the slides with `hdgan inspect --pictures`")


def _slide_table(
    plans: Sequence[SlidePlan], cells: Sequence[Cell], rows: Sequence[TileRow], problems: Sequence[BadInput], inputs: Mapping[str, str]
) -> str:
    """`slides.csv`: the slides as used, by the names of their files, not their places."""
    counts = Counter((cell.slide, cell.verdict) for cell in cells)
    fold_of = {row.slide: row.fold for row in rows}
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    header = "slide,file,patient,centre,stain,fold,vendor,width_px,height_px,mpp,level0_px,cells,kept,background,unreadable,other,content,problem"
    writer.writerow(header.split(","))
    for plan in plans:
        entry = plan.entry
        told = [entry.name, entry.path.name, entry.patient, entry.centre, entry.stain, fold_of.get(entry.name, "")]
        found = [plan.vendor, *plan.size_px, plan.slide_mpp, plan.level0_px, len(plan.cells)]
        kinds = [counts[entry.name, verdict] for verdict in (KEPT, BACKGROUND, UNREADABLE)]
        kinds.append(len(plan.cells) - sum(kinds))
        writer.writerow([*told, *found, *kinds, inputs[f"slide {entry.name}"], ""])
    for problem in problems:
        file = Path(problem.where)
        writer.writerow([file.stem, file.name, *[""] * 15, f"{problem.what}; {problem.remedy}"])
    return buffer.getvalue()
