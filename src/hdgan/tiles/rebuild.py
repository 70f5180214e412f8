"""The tiles of a finished stage stored anew, from its index and the slides: after they were deleted, or in another format.

The index decides which tiles there are; no cell is scored again, no fold dealt again. In the format of the first time the bytes are those of the
first time. Between formats without loss the pixels stay the same, and later stages stay current. As in cutting, slides are read by processes of their own, each
into a part (`parts/<slide>/`), and the parts are joined: a reader that crashes ends the command with a line, and the tiles stay as they were.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from hdgan.errors import BadInput, DamagedArtifact
from hdgan.progress import SILENT, Progress
from hdgan.slides.protocol import SlideReader
from hdgan.slides.reader import open_slide
from hdgan.store.archive import INDEX, TileArchive, TileRow, read_rows, write_archive
from hdgan.store.atomic import replacing_folder
from hdgan.store.codec import LOSSLESS, Store, stem
from hdgan.store.hashing import hash_file
from hdgan.store.stage import Manifest, open_stage, read_manifest
from hdgan.tiles import parts
from hdgan.tiles.config import TilesConfig
from hdgan.tiles.crew import Crew, Job
from hdgan.tiles.cut import KEPT
from hdgan.tiles.encode import tile_source
from hdgan.tiles.hiring import open_crew
from hdgan.tiles.images import rebuild_images
from hdgan.tiles.keys import finished_pseudonyms
from hdgan.tiles.plan import MPP_TOLERANCE, SlidePlan, with_copies
from hdgan.tiles.raw_copy import raw_grid
from hdgan.tiles.sources import Sources, open_sources
from hdgan.tiles.stage import STAGE


def rebuild_tiles(
    config: TilesConfig, *, out: Path, seed: int, base: Path, form: Store | None = None, progress: Progress = SILENT
) -> Manifest:
    """Stores the tiles of the finished stage in `out` again, in `form` (that of the settings unless given); its manifest.

    Raises:
        BadInput: the stage was not finished, a slide is missing, or its tiles cannot be copied as they lie (`raw`).
        StaleStage: a slide has another content than the one that was cut, or the settings are others.
        DamagedArtifact: the index is missing or was changed.
    """
    form = form or config.format
    before = read_manifest(out)
    if config.images is not None:
        return rebuild_images(config, config.images, out=out, seed=seed, base=base, form=form, progress=progress)
    pseudonyms = finished_pseudonyms(config, base=base, inputs=before.inputs)
    with (
        open_crew(config.model_copy(update={"scheduler": None})) as crew,
        open_sources(config, base=base, seed=seed, pseudonyms=pseudonyms, progress=progress, crew=crew) as (sources, progress),
        open_stage(out, stage=STAGE, config=config.recorded(), seed=seed, inputs=sources.inputs) as stage,
    ):
        assert stage.manifest is not None, "it was finished, and a stale one is refused"
        rows = _checked_rows(out, stage.manifest)
        jobs = _jobs(rows, sources, form, out)
        parts.remove_parts(out)
        (out / parts.PARTS).mkdir()
        try:
            _take_all(jobs, crew, progress, total=len(rows))
            write_archive(out, _joined(out, [job.arguments[0].entry.name for job in jobs]))
        finally:
            parts.remove_parts(out)
        is_same = form in LOSSLESS and stage.manifest.config["format"] in LOSSLESS
        return stage.reseal(counts=stage.manifest.counts, is_same=is_same)


def _checked_rows(out: Path, manifest: Manifest) -> tuple[TileRow, ...]:
    """The index, which is that of the manifest or, where rebuilding was interrupted, names the same places.

    Raises:
        DamagedArtifact: neither.
    """
    rows = read_rows(out / INDEX)
    if hash_file(out / INDEX) == manifest.outputs[INDEX]:
        return rows
    kept = [(cell.slide, cell.x_px, cell.y_px) for cell in parts.read_cells(out / parts.CELLS) if cell.verdict == KEPT]
    if hash_file(out / parts.CELLS) != manifest.outputs[parts.CELLS] or kept != [(row.slide, row.x_px, row.y_px) for row in rows]:
        raise DamagedArtifact(out / INDEX, "was changed since it was written", "cut the tiles again with --redo")
    return rows


def _jobs(rows: Sequence[TileRow], sources: Sources, form: Store, out: Path) -> list[Job[None]]:
    """One for each slide of the index, in its order."""
    plans = {plan.entry.name: plan for plan in sources.plans}
    of_slide = [(plans[name], tuple(group)) for name, group in groupby(rows, key=lambda row: row.slide)]
    return [
        Job(str(plan.entry.path), take_part, (replace(plan, regions=None), here, sources.config, form, out), len(here))
        for plan, here in of_slide
    ]


def _take_all(jobs: Sequence[Job[None]], crew: Crew, progress: Progress, *, total: int) -> None:
    progress.start("tiles", total=total)
    try:
        for outcome in crew.run(jobs, progress=progress):
            if outcome.problem is not None:
                raise outcome.problem
    finally:
        progress.finish()


def take_part(
    plan: SlidePlan, rows: Sequence[TileRow], config: TilesConfig, form: Store, out: Path, *, progress: Progress = SILENT
) -> None:
    """Writes the part of a slide below the stage folder `out`: the tiles of its rows, named after the format, with what is stored of them.

    Raises:
        BadInput: the slide cannot be read there, or its tiles cannot be copied.
    """
    with (
        replacing_folder(parts.part_folder(out, plan.entry.name)) as folder,
        closing(open_slide(plan.entry.path, mpp_override=plan.slide_mpp)) as slide,
    ):
        known = replace(plan, cells=tuple((row.x_px, row.y_px) for row in rows), level0_px=rows[0].level0_px)
        planned = known
        if form == "raw":
            planned = _on_grid(slide, known, config)
        elif form == "auto":  # decided on all cells, as when they were cut
            planned = with_copies(slide, replace(plan, level0_px=known.level0_px), config)
        with closing(tile_source(slide, planned, config, form=form)) as source:

            def taken() -> Iterator[tuple[TileRow, bytes]]:
                for row in rows:
                    tile = source.take((row.x_px, row.y_px))
                    yield replace(row, name=stem(row.name) + tile.suffix), tile.encoded()
                    progress.advance()

            write_archive(folder, taken())


def _joined(out: Path, slides: Sequence[str]) -> Iterator[tuple[TileRow, bytes]]:
    """The tiles of all parts, each of which goes when it has been read: a third copy of all tiles need not fit on the disk."""
    for slide in slides:
        part = parts.part_folder(out, slide)
        with closing(TileArchive(part)) as archive:
            yield from ((row, archive.encoded(index)) for index, row in enumerate(archive.rows))
        shutil.rmtree(part)


def _on_grid(slide: SlideReader, plan: SlidePlan, config: TilesConfig) -> SlidePlan:
    """The plan for raw copies.

    Raises:
        BadInput: the slide's JPEG tiles cannot be copied, or the tiles do not lie on their grid.
    """
    grid = raw_grid(slide, slide_mpp=plan.slide_mpp, mpp=plan.tile_mpp, tolerance=MPP_TOLERANCE)
    width, height = (edge * grid.downsample for edge in grid.tile_px)
    if plan.level0_px != config.stored_px * grid.downsample or any(x % width or y % height for x, y in plan.cells):
        what = f"the tiles were not cut on the grid of its JPEG tiles ({width} x {height} level-0 px)"
        raise BadInput(slide.path, what, 'set tiles.format = "raw" in the settings and cut them again with --redo')
    return replace(plan, raw_level=grid.level)
