"""The tiles of a finished stage stored anew, from its index and the slides: after they were deleted, or in another format.

The index decides which tiles there are; no cell is scored again, no fold dealt again. In the format of the first time the bytes are those of the
first time. Between formats without loss the pixels stay the same, and later stages stay current.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from hdgan.errors import BadInput, DamagedArtifact
from hdgan.progress import SILENT, Progress
from hdgan.slides.protocol import SlideReader
from hdgan.slides.reader import open_slide
from hdgan.store.archive import INDEX, TileRow, read_rows, write_archive
from hdgan.store.codec import LOSSLESS, Format, stem
from hdgan.store.hashing import hash_file
from hdgan.store.stage import Manifest, open_stage, read_manifest
from hdgan.tiles import parts
from hdgan.tiles.config import TilesConfig
from hdgan.tiles.cut import KEPT
from hdgan.tiles.encode import tile_source
from hdgan.tiles.images import rebuild_images
from hdgan.tiles.keys import finished_pseudonyms
from hdgan.tiles.plan import MPP_TOLERANCE, SlidePlan
from hdgan.tiles.raw_copy import raw_grid
from hdgan.tiles.sources import open_sources
from hdgan.tiles.stage import STAGE


def rebuild_tiles(
    config: TilesConfig, *, out: Path, seed: int, base: Path, form: Format | None = None, progress: Progress = SILENT
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
        open_sources(config, base=base, seed=seed, pseudonyms=pseudonyms, progress=progress) as (sources, progress),
        open_stage(out, stage=STAGE, config=config.recorded(), seed=seed, inputs=sources.inputs) as stage,
    ):
        assert stage.manifest is not None, "it was finished, and a stale one is refused"
        rows = _checked_rows(out, stage.manifest)
        by_name = {plan.entry.name: plan for plan in sources.plans}
        progress.start("tiles", total=len(rows))
        try:
            write_archive(out, _taken(rows, by_name, sources.config, form, progress))
        finally:
            progress.finish()
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


def _taken(
    rows: Sequence[TileRow], plans: Mapping[str, SlidePlan], config: TilesConfig, form: Format, progress: Progress
) -> Iterator[tuple[TileRow, bytes]]:
    """Each row, named after its new format, with what is stored of it."""
    for name, of_slide in groupby(rows, key=lambda row: row.slide):
        plan = plans[name]
        with closing(open_slide(plan.entry.path, mpp_override=plan.slide_mpp)) as slide:
            here = tuple(of_slide)
            known = replace(plan, cells=tuple((row.x_px, row.y_px) for row in here), level0_px=here[0].level0_px)
            planned = _on_grid(slide, known, config) if form == "raw" else known
            with closing(tile_source(slide, planned, config, form=form)) as source:
                for row in here:
                    taken = source.take((row.x_px, row.y_px))
                    yield replace(row, name=stem(row.name) + taken.suffix), taken.encoded()
                    progress.advance()


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
