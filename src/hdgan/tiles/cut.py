"""One slide into tiles: score every cell on an overview, read and encode those that stay.

Objects in, records out; nothing is written here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from hdgan.errors import BadInput
from hdgan.progress import SILENT, Progress
from hdgan.slides.protocol import SlideReader
from hdgan.store.archive import TileRow
from hdgan.tiles.background import is_background, overview_mpp, shares, take_overview, white_point
from hdgan.tiles.config import TilesConfig
from hdgan.tiles.encode import tile_source
from hdgan.tiles.plan import SlidePlan

KEPT, BACKGROUND, UNREADABLE = "kept", "background", "unreadable"
UNASSIGNED = -1
"""The fold of a tile before all slides are cut."""


@dataclass(frozen=True)
class Cell:
    """One place of the grid and what became of it."""

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
    """`KEPT`, `BACKGROUND` or `UNREADABLE`."""


@dataclass(frozen=True)
class CutTile:
    """A cell that stays, with its pixels encoded."""

    row: TileRow
    encoded: bytes


@dataclass(frozen=True)
class Scores:
    """What an overview says about the cells of a slide."""

    background: np.ndarray
    """Share of background of each cell, float64 `[N]` in 0 to 1, rounded to 1e-4."""
    is_sure: np.ndarray
    """bool `[N]`: all of the cell could be decoded."""
    white: np.ndarray
    """The slide's white point, uint8 `[3]`."""


def score_cells(slide: SlideReader, plan: SlidePlan, config: TilesConfig) -> Scores:
    """The scores of the cells of the plan."""
    tile_um = plan.level0_px * plan.slide_mpp
    step_px = max(1.0, overview_mpp(tile_um, slide_mpp=plan.slide_mpp) / plan.slide_mpp)
    overview = take_overview(slide, step_px=step_px)
    white = white_point(overview.pixels[~overview.is_unreadable])
    mask = is_background(overview.pixels, white=white, white_distance=config.white_distance)
    corners = np.array(plan.cells, np.float64)
    boxes = np.concatenate([corners, corners + plan.level0_px], axis=1) / step_px
    return Scores(np.round(shares(mask, boxes), 4), shares(overview.is_unreadable, boxes) == 0, white)


def cut_slide(
    slide: SlideReader, plan: SlidePlan, config: TilesConfig, *, progress: Progress = SILENT
) -> Iterator[tuple[Cell, CutTile | None]]:
    """Each cell of the plan with its tile, None where it was dropped; one step of progress each."""
    if not plan.cells:
        return
    scores = score_cells(slide, plan, config)
    with closing(tile_source(slide, plan, config)) as source:
        for index, (x, y) in enumerate(plan.cells):
            background = float(scores.background[index])
            tile = None
            verdict = BACKGROUND
            if background <= config.max_background or not scores.is_sure[index]:
                try:
                    taken = source.take((x, y))
                    if not scores.is_sure[index]:
                        own = is_background(taken.pixels, white=scores.white, white_distance=config.white_distance)
                        background = round(float(own.mean()), 4)
                    if background <= config.max_background:
                        tile = CutTile(_row(plan, config, xy=(x, y), background=background, suffix=taken.suffix), taken.encoded())
                        verdict = KEPT
                except BadInput as error:  # one damaged region costs its tile, never a filled one
                    progress.say(str(error))
                    verdict = UNREADABLE
            yield Cell(plan.entry.name, x, y, plan.level0_px, background, verdict), tile
            progress.advance()


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
