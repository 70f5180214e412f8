"""The tiles stage: slides in, a tile archive out. Format: docs/formats/tiles.md.

Writes `tiles.zip` and `tiles.csv` (the tiles), `cells.csv` (every cell of the grid with its score and verdict, so that another
threshold can be weighed without reading a slide), `slides.csv` (the slides as used), `cases.csv` (the patients), `regions.csv` (what of outlined regions
lies in each cell, where there are any), `qc.png`, and `report.html` with its
pictures in `report/`.
The unit of work is one slide; a killed job goes on with the slides that are not finished and writes the same bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hdgan.errors import BadInput, HdganError
from hdgan.progress import SILENT, Progress
from hdgan.store.archive import ARCHIVE, TileArchive, TileRow
from hdgan.store.atomic import write_png, write_text
from hdgan.store.stage import Manifest, StageFolder, open_stage
from hdgan.store.tables import csv_text
from hdgan.tiles import parts
from hdgan.tiles.cases import CASES
from hdgan.tiles.code import is_of_other_code
from hdgan.tiles.completing import are_cut_after_all, is_completed, left_out_in_cutting, record, split
from hdgan.tiles.config import TilesConfig
from hdgan.tiles.crew import Crew
from hdgan.tiles.cut import BACKGROUND, KEPT, LEFT_OUT, REASONS, SUSPECT, UNREADABLE, Cell
from hdgan.tiles.dealing import Dealt, deal_tiles, told
from hdgan.tiles.folds import leaks
from hdgan.tiles.hiring import open_crew
from hdgan.tiles.hits import REGIONS, write_hits
from hdgan.tiles.joining import joining
from hdgan.tiles.keys import stage_pseudonyms
from hdgan.tiles.plan import SlidePlan
from hdgan.tiles.qc import draw_sheet
from hdgan.tiles.regions import all_hits, region_counts, region_notes
from hdgan.tiles.report import REPORT, write_report
from hdgan.tiles.sources import Sources, open_sources
from hdgan.tiles.unread import UNREAD, read_unread, write_unread
from hdgan.tiles.work import cut_all, part_key

STAGE = "tiles"
QC = "qc.png"
SLIDES = "slides.csv"
_NUM_LISTED = 5


def run_tiles(config: TilesConfig, *, out: Path, seed: int, base: Path, redo: bool = False, progress: Progress = SILENT) -> Manifest:
    """Cuts the slides of `config` into the stage folder `out`; its manifest.

    `base` is the folder that relative paths in `config.slides` start at.

    Raises:
        BadInput: a slide is missing, damaged, without scale or there twice, or no tile stays.
    """
    if config.images is not None:
        from hdgan.tiles.images import run_images  # slides do without it

        return run_images(config, config.images, out=out, seed=seed, base=base, redo=redo, progress=progress)
    if config.scheduler is not None:  # its workers may stand in other folders
        out, base = out.absolute(), base.absolute()
    pseudonyms = stage_pseudonyms(config, out=out, base=base, redo=redo, progress=progress)
    recorded, vouched = config.recorded(), (parts.PARTS,)
    with (
        open_crew(config) as crew,
        open_sources(config, base=base, seed=seed, pseudonyms=pseudonyms, progress=progress, crew=crew) as (sources, progress),
    ):
        if is_completed(out, sources, config, seed=seed):
            progress.say("only slides that were left out have changed: the others are not cut again")
            split(out, sources)
            redo = True
        afresh = config.recut_changed_code and is_of_other_code(out)
        left_out = left_out_in_cutting(out, sources, config, seed=seed)
        if left_out and config.retry_left_out and are_cut_after_all(left_out, sources, out, crew=crew, progress=progress):
            split(out, sources)
            afresh = True
        elif left_out and not config.retry_left_out:
            progress.say(f"{len(left_out)} left out when the others were cut: {_listed(left_out)}; --retry-left-out tries again")
        how: dict[str, Any] = {"redo": redo, "vouched": vouched, "is_afresh": afresh}
        with open_stage(out, stage=STAGE, config=recorded, seed=seed, inputs=sources.inputs, **how) as stage:
            if stage.manifest is None:
                with parts.without_leftovers(out):
                    failed = cut_all(sources.plans, sources.config, out=out, contents=sources.inputs, crew=crew, progress=progress)
                _finish(stage, sources.without(failed), sources.config, crew, seed=seed, progress=progress)
            parts.remove_parts(out)
            assert stage.manifest is not None
            return stage.manifest


def _listed(plans: Sequence[SlidePlan]) -> str:
    names = [plan.entry.name for plan in plans[:_NUM_LISTED]]
    return ", ".join(names) + (f" and {len(plans) - _NUM_LISTED} more" if len(plans) > _NUM_LISTED else "")


def _finish(
    stage: StageFolder,
    sources: Sources,
    config: TilesConfig,
    crew: Crew,
    *,
    seed: int,
    progress: Progress,
) -> None:
    """Joins the parts and writes what stands beside them."""
    out, choice, plans = stage.path, sources.choice, sources.plans
    cells = tuple(cell for plan in plans for cell in parts.read_cells(parts.part_folder(out, plan.entry.name) / parts.CELLS))
    verdicts = Counter(cell.verdict for cell in cells)
    if not verdicts[KEPT]:
        raise _nothing_kept(plans, verdicts)
    slides = [plan.entry.name for plan in plans]
    with_tiles = {cell.slide for cell in cells if cell.verdict == KEPT}
    without = [plan for plan in plans if plan.entry.name not in with_tiles]
    if without:
        progress.say(f"no tile stays of {len(without)} of {len(plans)} slides: {_listed(without)}; {REPORT} says why")
    loose = [row for slide in slides for row in TileArchive(parts.part_folder(out, slide)).rows]
    dealt = deal_tiles(choice, loose, config, seed=seed)
    cells = dealt.marked(cells)
    verdicts = Counter(cell.verdict for cell in cells)
    rows = dealt.folded(loose)
    assert config.folds == "tile" or not leaks(rows), f"patients in several folds: {leaks(rows)}"
    with joining(out, slides, fold_of=dealt.fold_of) as joined:
        warnings = _write_pages(out, sources, dealt, cells, rows, config, crew, seed=seed, progress=progress)
        archive = joined()
    readers = _readers(out, sources)  # refuses parts that were replaced meanwhile
    assert archive.rows == rows, "both are the tiles of the parts"
    always = {BACKGROUND, UNREADABLE} | (set() if config.min_stains_per_case is None else {LEFT_OUT})
    counts: dict[str, Any] = {
        "slides": len(plans),
        "skipped_slides": len(sources.problems),
        "patients": len({row.patient for row in rows}),
        "cells": len(cells),
        "tiles": verdicts[KEPT],
        "dropped": {reason: verdicts[reason] for reason in (*REASONS, LEFT_OUT) if verdicts[reason] or reason in always},
        **dealt.counts(rows),
        **region_counts(plans),
        **record(sources),
        "warnings": list(warnings),
    }
    stage.seal(counts=counts, keep_out=(parts.PARTS,), also={"readers": readers}, hashed={ARCHIVE: archive.sha256})


def _write_pages(
    out: Path,
    sources: Sources,
    dealt: Dealt,
    cells: Sequence[Cell],
    rows: Sequence[TileRow],
    config: TilesConfig,
    crew: Crew,
    *,
    seed: int,
    progress: Progress,
) -> tuple[str, ...]:
    """Writes the tables, the sheet and the report; what is to be said of the tiles, which is told, too."""
    plans, slides = sources.plans, [plan.entry.name for plan in sources.plans]
    parts.write_cells(out / parts.CELLS, cells)
    unread = tuple(region for slide in slides for region in read_unread(parts.part_folder(out, slide) / UNREAD))
    write_unread(out / UNREAD, unread)
    write_text(out / SLIDES, _slide_table(sources, dealt, cells, rows))
    write_text(out / CASES, dealt.table(rows))
    by_name = {plan.entry.name: plan for plan in plans}
    write_png(out / QC, draw_sheet(cells, by_name, config, seed=seed, crew=crew, progress=progress))
    warnings = (*dealt.warnings(rows), *sources.patient_notes())
    late = {patient: why for patient, why in dealt.left_out.items() if patient not in sources.choice.left_out}
    notes = (*region_notes(plans, config), *parts.white_notes(out, slides))
    warnings = (*(f"{slide}: {what}" for slide, what in notes), *warnings)
    for line in (*told(late), *warnings):
        progress.say(line)
    if any(plan.regions is not None for plan in plans):
        write_hits(out / REGIONS, all_hits(plans))
    write_report(out, sources, cells, rows, dealt, config, unread=unread, crew=crew, progress=progress)
    return warnings


def _readers(out: Path, sources: Sources) -> dict[str, dict[str, Any]]:
    """What read each slide, how its tiles were stored, why, what code cut it, and in how many seconds. Another machine may read with another library,
    and other code differ by a comment, and give the same pixels: no manifest says it, or later stages would be stale for it.

    Raises:
        HdganError: a part was replaced by one of other settings since it was cut: a Dask worker may be at a slide of an earlier job long after that was killed.
    """
    found = {plan.entry.name: parts.read_status(parts.part_folder(out, plan.entry.name)) for plan in sources.plans}
    for plan in sources.plans:
        name = plan.entry.name
        if found[name].key != part_key(plan, sources.config, sources.inputs[f"slide {name}"]):
            what = f"the part of {name} was replaced meanwhile by one of other settings, perhaps of a worker of an earlier job"
            raise HdganError(f"{out}: {what}; stop it, and give the same command again")
    return {
        slide: {name: getattr(status, name) for name in ("reader", "reason", "store", "store_reason", "code", "white_note", "seconds")}
        for slide, status in found.items()
    }


def _nothing_kept(plans: Sequence[SlidePlan], verdicts: Mapping[str, int]) -> BadInput:
    where = plans[0].entry.path if len(plans) == 1 else f"{len(plans)} slides"
    always = (BACKGROUND, UNREADABLE)
    reasons = ", ".join(f"{verdicts[reason]} {reason}" for reason in REASONS if verdicts[reason] or reason in always)
    what = f"no tile stays of {sum(verdicts.values())}: {reasons}"
    return BadInput(where, what, "raise `max_background`, or look at the slides with `hdgan inspect --pictures`")


def _slide_table(sources: Sources, dealt: Dealt, cells: Sequence[Cell], rows: Sequence[TileRow]) -> str:
    """`slides.csv`: the slides as used, by the names of their files, not their places."""
    counts = Counter((cell.slide, cell.verdict) for cell in cells)
    num_cells = Counter(cell.slide for cell in cells)
    folds_of: dict[str, set[int]] = {}
    for row in rows:
        folds_of.setdefault(row.slide, set()).add(row.fold)
    lines: list[list[object]] = []
    header = "slide,file,patient,centre,stain,diagnosis,fold,vendor,width_px,height_px,"
    header += "mpp,level0_px,cells,kept,background,unreadable,suspect,other,content,problem"
    for plan in (*sources.plans, *sources.choice.unused):
        entry = plan.entry
        why = dealt.left_out.get(entry.patient, "")
        told = [entry.name, entry.file_name, entry.patient, entry.centre, entry.stain, entry.diagnosis]
        fold = ";".join(str(number) for number in sorted(folds_of.get(entry.name, ())))
        found = [plan.vendor, *plan.size_px, plan.slide_mpp, plan.level0_px, len(plan.cells)]
        kinds = [counts[entry.name, verdict] for verdict in (KEPT, BACKGROUND, UNREADABLE, SUSPECT)]
        kinds.append(num_cells[entry.name] - sum(kinds))
        content = sources.inputs.get(f"slide {entry.name}", "")
        lines.append([*told, fold, *found, *kinds, content, f"left out: the patient {why}" if why else ""])
    for entry, why in sources.told_problems():
        told = [entry.name, entry.file_name, entry.patient, entry.centre, entry.stain, entry.diagnosis]
        lines.append([*told, *[""] * 13, why])
    return csv_text(header.split(","), lines)
