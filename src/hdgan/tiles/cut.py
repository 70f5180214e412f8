"""One slide into tiles: score every cell on an overview, read those that stay, score their pixels, encode.

Objects in, records out; nothing is written here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace

import numpy as np

from hdgan.errors import BadInput
from hdgan.progress import SILENT, Progress, beat
from hdgan.slides.protocol import SlideReader
from hdgan.slides.resample import area_resample
from hdgan.store.archive import TileRow
from hdgan.tiles.background import bands, is_background, overview_mpp, shares, shares_of
from hdgan.tiles.config import TilesConfig
from hdgan.tiles.encode import TileSource, tile_source
from hdgan.tiles.glass import coarsened, find_glass
from hdgan.tiles.overview import Overview, bounded_step, take_overview
from hdgan.tiles.plan import SlidePlan
from hdgan.tiles.scores import Limits, dark_level, is_black, is_pen, luma, measure_detail
from hdgan.tiles.unread import Unread
from hdgan.tiles.witness import Witness

KEPT, BACKGROUND, UNREADABLE = "kept", "background", "unreadable"
SUSPECT = "suspect"
PEN, BLACK, BLUR, COMPARTMENT = "pen", "black", "blur", "compartment"
REASONS = (BACKGROUND, PEN, BLACK, UNREADABLE, SUSPECT, BLUR, COMPARTMENT)
"""Why a cell gives no tile, in the order in which it is asked."""
LEFT_OUT = "left out"
"""Verdict of a cell that would stay, of a case that does not."""
UNUSABLE = (UNREADABLE, SUSPECT)
"""Verdicts on pixels that are not to be had, whatever the scores."""
UNASSIGNED = -1
"""The fold of a tile before all slides are cut."""


@dataclass(frozen=True)
class Cell:
    """One place of the grid, its scores, and what became of it."""

    slide: str
    x_px: int
    """Left edge, level-0 px."""
    y_px: int
    """Top edge, level-0 px."""
    level0_px: int
    """Edge, level-0 px."""
    background: float
    """Share of background, 0 to 1."""
    verdict: str
    """`KEPT`, one of `REASONS`, or `LEFT_OUT`."""
    pen: float | None = None
    """Share of marker ink; None in cells of earlier versions."""
    black: float | None = None
    """Share of black."""
    blur: float | None = None
    """0 (sharp) to 1; None where the tile was not read, is too coarse or has no contrast."""
    compartment: float | None = None
    """0 to 1; None where the tile was not read or is too coarse."""


@dataclass(frozen=True)
class CutTile:
    """A cell that stays, with its pixels encoded."""

    row: TileRow
    encoded: bytes


@dataclass(frozen=True)
class Scores:
    """What an overview says about a slide and its cells; shares are float64 `[N]` in 0 to 1, rounded to 1e-4."""

    background: np.ndarray
    pen: np.ndarray
    black: np.ndarray
    is_sure: np.ndarray
    """bool `[N]`: all of the cell could be decoded."""
    white: np.ndarray
    """The slide's white point, uint8 `[3]`."""
    white_note: str
    """What is to be said about it; nothing where it was found as usual."""
    dark: int
    """The grey level of the slide's dark structures."""
    overview: Overview


def score_cells(slide: SlideReader, plan: SlidePlan, config: TilesConfig, *, progress: Progress = SILENT) -> Scores:
    """The scores of the slide and of the cells of the plan; no step of progress, but signs of life."""
    tile_um = plan.level0_px * plan.slide_mpp
    step_px = bounded_step(max(1.0, overview_mpp(tile_um, slide_mpp=plan.slide_mpp) / plan.slide_mpp), slide.size_px)
    overview = take_overview(slide, step_px=step_px, progress=progress)
    mpp = step_px * plan.slide_mpp
    glass = find_glass(overview.pixels, mpp=mpp, unseen=overview.is_unreadable, progress=progress)
    corners = np.array(plan.cells, np.float64).reshape(-1, 2)
    boxes = np.concatenate([corners, corners + plan.level0_px], axis=1) / step_px
    is_empty = functools.partial(is_background, white=glass.white, white_distance=config.white_distance, min_density=config.min_density)
    return Scores(
        background=np.round(shares_of(overview.pixels, is_empty, boxes, progress=progress), 4),
        # Pen is told by the neighbours of a pixel, too.
        pen=np.round(shares_of(overview.pixels, is_pen, boxes, margin_px=1, progress=progress), 4),
        black=np.round(shares_of(overview.pixels, is_black, boxes, progress=progress), 4),
        is_sure=shares(overview.is_unreadable, boxes) == 0,
        white=glass.white,
        white_note=glass.note,
        dark=_dark(coarsened(overview.pixels, mpp=mpp), is_empty, progress=progress),
        overview=overview,
    )


def cut_slide(
    slide: SlideReader,
    plan: SlidePlan,
    config: TilesConfig,
    *,
    scores: Scores | None = None,
    source: TileSource | None = None,
    unread: list[Unread] | None = None,
    progress: Progress = SILENT,
) -> Iterator[tuple[Cell, CutTile | None]]:
    """Each cell of the plan with its tile, None where it was dropped; one step of progress each. `scores` are those of `score_cells`,
    `source` (which stays open) gives the tiles, one of `tile_source` unless given.

    Regions that could not be read, or were not believed, are added to `unread` on the way.
    """
    if not plan.cells:
        return
    found = scores or score_cells(slide, plan, config, progress=progress)
    notes = unread if unread is not None else []
    own = tile_source(slide, plan, config) if source is None else None
    tiles = source or own
    assert tiles is not None, "given or opened"
    with nullcontext() if own is None else closing(own), Witness(slide, plan, config, progress=progress) as witness:
        notes += witness.lost(found.overview)
        for index, (x, y) in enumerate(plan.cells):
            shares_of = {name: float(getattr(found, name)[index]) for name in ("background", "pen", "black")}
            cell = Cell(plan.entry.name, x, y, plan.level0_px, verdict=KEPT, **shares_of)
            cell = replace(cell, verdict=verdict_of(cell, config.limits))
            tile = None
            if cell.verdict == KEPT or not found.is_sure[index]:
                is_sure = bool(found.is_sure[index])
                try:
                    taken = tiles.take((x, y))
                except BadInput as error:  # one damaged region costs its tile, never a filled one
                    notes.append(witness.failed((x, y), error))
                    cell = replace(cell, verdict=UNREADABLE)
                else:
                    cell = cell if is_sure else _scored_again(cell, taken.pixels, found, config)
                    note = witness.doubt((x, y), taken, found.overview if is_sure else None) if cell.verdict == KEPT else None
                    if note is not None:
                        notes.append(note)
                        cell = replace(cell, verdict=UNREADABLE if note.is_damage else SUSPECT)
                    cell = _detailed(cell, taken.pixels, found, config)
                    if cell.verdict == KEPT:
                        tile = CutTile(_row(plan, config, xy=(x, y), background=cell.background, suffix=taken.suffix), taken.encoded())
                    del taken  # the next one is read into its memory
            yield cell, tile
            progress.advance()


def verdict_of(cell: Cell, limits: Limits) -> str:
    """`KEPT`, or the first reason that the scores of the cell give; a score that is not there gives none."""
    if cell.background > limits.max_background:
        return BACKGROUND
    for reason, score, highest in (
        (PEN, cell.pen, limits.max_pen),
        (BLACK, cell.black, limits.max_black),
        (BLUR, cell.blur, limits.max_blur),
    ):
        if score is not None and highest is not None and score > highest:
            return reason
    if cell.compartment is not None and limits.min_compartment is not None and cell.compartment < limits.min_compartment:
        return COMPARTMENT
    return KEPT


def _scored_again(cell: Cell, pixels: np.ndarray, scores: Scores, config: TilesConfig) -> Cell:
    """The cell with the scores of an overview from its own pixels, at the scale of the overview, which was damaged there, and the verdict on them."""
    size = min(len(pixels), max(1, round(cell.level0_px / scores.overview.step_px)))
    small = area_resample(pixels, box=(0, 0, len(pixels), len(pixels)), out_px=(size, size))
    empty = is_background(small, white=scores.white, white_distance=config.white_distance, min_density=config.min_density)
    means = [round(float(mask.mean()), 4) for mask in (empty, is_pen(small), is_black(small))]
    cell = replace(cell, background=means[0], pen=means[1], black=means[2])
    return replace(cell, verdict=verdict_of(cell, config.limits))


def _detailed(cell: Cell, pixels: np.ndarray, scores: Scores, config: TilesConfig) -> Cell:
    """The cell, if it is still kept, with the scores of its own pixels and the verdict on them."""
    if cell.verdict != KEPT:
        return cell
    detail = measure_detail(pixels, mpp=config.mpp, dark=scores.dark)
    cell = replace(cell, blur=detail.blur, compartment=detail.compartment)
    return replace(cell, verdict=verdict_of(cell, config.limits))


def _dark(pixels: np.ndarray, is_empty: Callable[[np.ndarray], np.ndarray], *, progress: Progress) -> int:
    """The dark level of an overview, which is always that of 8 um/px: averaging moves it."""
    counts = np.zeros(256, np.int64)
    for rows in bands(len(pixels), width=pixels.shape[1]):
        beat(progress)
        counts += np.bincount(luma(pixels[rows])[~is_empty(pixels[rows])], minlength=256)
    return dark_level(counts)


def _row(plan: SlidePlan, config: TilesConfig, *, xy: tuple[int, int], background: float, suffix: str) -> TileRow:
    entry, (x, y) = plan.entry, xy
    return TileRow(
        name=f"{entry.name}_x{x:06d}_y{y:06d}{suffix}",
        slide=entry.name,
        patient=entry.patient,
        centre=entry.centre,
        stain=entry.stain,
        fold=UNASSIGNED,
        x_px=x,
        y_px=y,
        level0_px=plan.level0_px,
        size_px=config.stored_px,
        mpp=config.mpp,
        background=background,
    )
