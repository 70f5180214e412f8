"""Where tiles would be cut, and what that costs, before a pixel is read.

The grid starts at the slide's upper left corner; cells that would stick out of the slide, or of the areas given for it, are
not on it. A slide whose scale is within 2 % of the one asked for is cut pixel by pixel, and `level0_px` in the index keeps the exact scale.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from hdgan.errors import BadInput
from hdgan.progress import SILENT, Progress
from hdgan.slides.protocol import SlideReader, best_level
from hdgan.slides.pseudonyms import HidingProgress, Pseudonyms, hidden_error, hiding
from hdgan.slides.pyramid import scanned_part
from hdgan.slides.reader import known_mpp, open_slide
from hdgan.slides.regions.read import Regions, read_regions
from hdgan.slides.scale import contradiction, requested_mpp
from hdgan.slides.table import Area, SlideEntry
from hdgan.store.codec import Store
from hdgan.tiles.cases import cut_slides, gather, lacking_stains
from hdgan.tiles.config import TilesConfig
from hdgan.tiles.crew import INLINE, Crew, Job, in_order
from hdgan.tiles.image_sources import find_images
from hdgan.tiles.keys import find_entries, passing_pseudonyms
from hdgan.tiles.placement import centred, chosen, in_rows, intersecting
from hdgan.tiles.raw_copy import CannotCopyError, RawGrid, raw_grid, refuse_moved, snapped

MPP_TOLERANCE = 0.02
"""Relative difference of two scales that counts as none: less than the error of most calibrations."""

_MOST_CELLS = 8_000_000
"""Cells of one slide: 1 GB of places. 100,000 x 80,000 px in steps of 64 px have 2 million."""
_MANY = 50
"""Slides whose opening takes long enough to be shown."""
_BYTES_PER_PX: dict[Store, float] = {"png": 1.7, "jxl": 1.2, "jpeg": 0.5, "raw": 0.3, "none": 0.0}
_SECONDS_PER_READ_PX = 4e-8
_SECONDS_PER_STORED_PX: dict[Store, float] = {"png": 1.2e-7, "jxl": 6e-9, "jpeg": 2e-8, "raw": 4e-9, "none": 0.0}
_SECONDS_PER_SLIDE = 0.05


@dataclass(frozen=True)
class SlidePlan:
    """The cells of one slide."""

    entry: SlideEntry
    size_px: tuple[int, int]
    """Width and height of level 0."""
    slide_mpp: float
    """Scale of level 0, um/px."""
    vendor: str
    level0_px: int
    """Edge of a cell, level-0 px."""
    read_px: int
    """Edge of a cell in the level that it is read from."""
    cells: tuple[tuple[int, int], ...]
    """Upper left corners, level-0 px, row by row."""
    tile_mpp: float
    """Scale of the tiles as asked of this slide, um/px; within the tolerance that of all others."""
    raw_level: int | None = None
    """The level whose JPEG tiles are copied, where the format is `raw`, or `auto` and they fit."""
    regions: Regions | None = None
    """What is outlined on it; None where it has no region file."""
    why_not_copied: str = ""
    """Where the format is `auto` and nothing is copied: the reason."""


@dataclass(frozen=True)
class Estimate:
    """What a tiles stage would take, with every cell kept: an upper bound that the background rule lowers."""

    num_slides: int
    num_cells: int
    bytes: int
    """On the disk, twice: the parts are joined before they are removed."""
    seconds: float
    """On one core, roughly."""
    problems: tuple[str, ...]
    """A line for each slide that cannot be cut."""


def plan_slide(slide: SlideReader, entry: SlideEntry, config: TilesConfig, *, seed: int = 0) -> SlidePlan:
    """The cells on an open slide; `seed` decides the jitter of tiles around objects.

    Raises:
        BadInput: the slide has no scale, or a coarser one than asked for, its JPEG tiles are to be copied and cannot be, or its region file
            cannot be read or is of another slide.
    """
    mpp = known_mpp(slide, fallback=config.slide_mpp)
    wanted = _wanted_mpp(slide, config)
    level0_px, step = _edge_and_step(mpp, wanted, config)
    if mpp > wanted * (1 + MPP_TOLERANCE):
        remedy = (
            f"ask for {mpp:g} um/px or coarser (`mpp` in the settings), give its true scale where {mpp:g} is wrong "
            "(column `mpp` of a slide table), or leave the slide out"
        )
        raise BadInput(entry.path, f"its finest level has {mpp:g} um/px, coarser than the {wanted:g} asked for", remedy)
    _check_count(slide, entry, step)
    grid = raw_grid(slide, slide_mpp=mpp, mpp=wanted, tolerance=MPP_TOLERANCE) if config.format == "raw" else None
    if grid is not None:
        level0_px, step = config.stored_px * grid.downsample, float(config.step_px * grid.downsample)
    else:
        level0_px = _fitted(level0_px, slide.size_px, config)
    regions = None if entry.regions is None else read_regions(entry.regions, size_px=slide.size_px, scanned=scanned_part(slide))
    read_px = math.ceil(level0_px / slide.levels[best_level(slide.levels, level0_px / config.stored_px)].downsample)
    raw_level = grid.level if grid else None
    plan = SlidePlan(entry, slide.size_px, float(mpp), slide.vendor, level0_px, read_px, (), wanted, raw_level, regions)
    plan = replace(plan, cells=_placed(plan, config, step=step, grid=grid, seed=seed))
    return with_copies(slide, plan, config) if config.format == "auto" else plan


def with_copies(slide: SlideReader, plan: SlidePlan, config: TilesConfig) -> SlidePlan:
    """The plan with the level whose JPEG tiles are copied, where all its cells lie on their grid already; else with the reason why not."""
    try:
        grid = raw_grid(slide, slide_mpp=plan.slide_mpp, mpp=plan.tile_mpp, tolerance=MPP_TOLERANCE)
        refuse_moved(grid, slide.path, cells=plan.cells, level0_px=plan.level0_px, size_px=config.stored_px)
    except CannotCopyError as error:
        return replace(plan, raw_level=None, why_not_copied=error.why)
    except Exception as error:  # noqa: BLE001 - a structure that tifffile stumbles over in whatever way can still be read, and is no reason to refuse
        return replace(plan, raw_level=None, why_not_copied=f"its structure cannot be read by tifffile ({type(error).__name__})")
    return replace(plan, raw_level=grid.level, why_not_copied="")


def _check_count(slide: SlideReader, entry: SlideEntry, step: float) -> None:
    """Refuses a slide that would give more cells than memory holds: its size is a lie, or the tiles are a mistake."""
    num = math.prod(edge / step for edge in slide.size_px)
    if num > _MOST_CELLS:
        what = f"is said to have {slide.size_px[0]:,} x {slide.size_px[1]:,} px, which gives {num:,.0f} tiles"
        raise BadInput(entry.path, what, "ask for larger tiles or a larger step, or leave the slide out")


def plan_entry(entry: SlideEntry, config: TilesConfig, seed: int = 0, *, progress: Progress = SILENT) -> SlidePlan:
    """The cells on a slide. It is told where the scale given for it contradicts its file.

    Raises:
        BadInput: it cannot be opened, or see `plan_slide`.
    """
    with closing(open_slide(entry.path, mpp_override=entry.mpp)) as slide:
        if note := contradiction(slide):
            progress.say(f"{entry.path}: {note}")
        return plan_slide(slide, entry, config, seed=seed)


def plan_slides(
    config: TilesConfig,
    *,
    base: Path,
    pseudonyms: Pseudonyms | None = None,
    seed: int = 0,
    crew: Crew = INLINE,
    progress: Progress = SILENT,
) -> tuple[tuple[SlidePlan, ...], tuple[BadInput, ...]]:
    """Plans of the slides that can be cut, in the order of their names, and what is wrong with the others, whose names are pseudonyms
    where there are. `crew` opens them.

    Raises:
        BadInput: the sources themselves cannot be read, or it is in doubt which region file is a slide's.
    """
    return plan_entries(find_entries(config, base=base, pseudonyms=pseudonyms), config, seed=seed, crew=crew, progress=progress)


def plan_entries(
    entries: Sequence[SlideEntry], config: TilesConfig, *, seed: int = 0, crew: Crew = INLINE, progress: Progress = SILENT
) -> tuple[tuple[SlidePlan, ...], tuple[BadInput, ...]]:
    """Plans of those slides that can be cut, in their order, and what is wrong with the others."""
    plans, problems = plan_by_name(entries, config, seed=seed, crew=crew, progress=progress)
    return plans, tuple(problems.values())


def plan_by_name(
    entries: Sequence[SlideEntry], config: TilesConfig, *, seed: int = 0, crew: Crew = INLINE, progress: Progress = SILENT
) -> tuple[tuple[SlidePlan, ...], dict[str, BadInput]]:
    """As `plan_entries`; what is wrong by the name of the slide."""
    is_secret, is_long = config.pseudonym_key is not None, len(entries) >= _MANY
    if is_secret:
        progress = HidingProgress(progress, entries)
    if is_long:
        progress.start("slides opened", total=len(entries))
    try:
        with hiding(entries) if is_secret else nullcontext():
            jobs = [Job(str(entry.path), plan_entry, (entry, config, seed), int(is_long)) for entry in entries]
            outcomes = in_order(crew.run(jobs, progress=progress))
    finally:
        if is_long:
            progress.finish()
    plans = tuple(outcome.value for outcome in outcomes if outcome.value is not None)
    problems = [(outcome.problem, entries[outcome.index]) for outcome in outcomes if outcome.problem is not None]
    return plans, {entry.name: hidden_error(problem, [entry]) if is_secret else problem for problem, entry in problems}


def without_stains(plans: Sequence[SlidePlan], *, min_stains: int | None) -> dict[str, str]:
    """Why each patient with slides of fewer stains is left out; slides that hold no cell do not count."""
    num_cells = {plan.entry.name: len(plan.cells) for plan in plans}
    return lacking_stains(gather(cut_slides((plan.entry for plan in plans), num_cells)), min_stains=min_stains)


def estimate(config: TilesConfig, *, base: Path, crew: Crew = INLINE) -> Estimate:
    """Cells, bytes and seconds of the stage, from the headers of the slides, which `crew` opens.

    Raises:
        BadInput: the sources themselves cannot be read.
    """
    if config.images is not None:
        num = len(find_images(config.slides, base=base, labels="none"))
        num_px, form = config.stored_px**2 * num, "png" if config.format == "auto" else config.format
        seconds = num_px * (_SECONDS_PER_READ_PX + _SECONDS_PER_STORED_PX[form])
        return Estimate(num, num, round(num_px * _BYTES_PER_PX[form]), seconds, ())
    plans, problems = plan_slides(config, base=base, pseudonyms=passing_pseudonyms(config, base=base), crew=crew)
    left_out = without_stains(plans, min_stains=config.min_stains_per_case)
    plans = tuple(plan for plan in plans if plan.entry.patient not in left_out)
    num_cells = sum(len(plan.cells) for plan in plans)
    stored = [(config.stored_px**2 * len(plan.cells), _form(plan, config)) for plan in plans]
    read = sum(len(plan.cells) * plan.read_px**2 for plan in plans)
    storing = sum(num_px * _SECONDS_PER_STORED_PX[form] for num_px, form in stored)
    seconds = read * _SECONDS_PER_READ_PX + storing + len(plans) * _SECONDS_PER_SLIDE
    size = round(2 * sum(num_px * _BYTES_PER_PX[form] for num_px, form in stored))
    return Estimate(len(plans), num_cells, size, seconds, tuple(str(problem) for problem in problems))


def _form(plan: SlidePlan, config: TilesConfig) -> Store:
    """How most tiles of a slide are stored."""
    if config.format != "auto":
        return config.format
    return "jxl" if plan.raw_level is None else "raw"


def scaled(config: TilesConfig, plans: Sequence[SlidePlan]) -> TilesConfig:
    """The settings with the one scale of all tiles, the coarsest that the plans have; as they are where they name an mpp.

    Raises:
        BadInput: the scales differ by more than the tolerance, or a threshold needs finer tiles.
    """
    if config.asked_mpp is not None or not plans:
        return config
    finest, coarsest = (pick(plans, key=lambda plan: plan.tile_mpp) for pick in (min, max))
    if coarsest.tile_mpp > finest.tile_mpp * (1 + MPP_TOLERANCE):
        what = (
            f"{config.scale_text} is {coarsest.tile_mpp:.4g} um/px, and {finest.tile_mpp:.4g} on {finest.entry.name}: tiles have one scale"
        )
        raise BadInput(coarsest.entry.path, what, f"ask for mpp = {coarsest.tile_mpp:.4g}, to which finer slides are averaged")
    try:
        return TilesConfig.model_validate(
            {**config.model_dump(by_alias=True), "mpp": coarsest.tile_mpp, "magnification": None, "level": None}
        )
    except ValidationError as error:
        raise BadInput("tiles", f"{config.scale_text} is {coarsest.tile_mpp:.4g} um/px: {error.errors()[0]['msg']}") from error


def _wanted_mpp(slide: SlideReader, config: TilesConfig) -> float:
    """The scale asked for, um/px, of this slide."""
    if config.asked_mpp is not None:
        return config.asked_mpp
    return float(requested_mpp(slide, magnification=config.magnification, level=config.level, fallback=config.slide_mpp))


def _placed(plan: SlidePlan, config: TilesConfig, *, step: float, grid: RawGrid | None, seed: int) -> tuple[tuple[int, int], ...]:
    """The cells of a plan without cells."""
    placement, edge_px, (width, height) = config.placement, plan.level0_px, plan.size_px
    outlines = chosen(plan.regions.outlines, placement) if plan.regions else ()
    way = placement.way
    if plan.regions is None and way != "grid":
        if not placement.unoutlined_give_grid:
            return ()
        way = "grid"
    cells: tuple[tuple[int, int], ...] = ()
    if way != "centred" or placement.and_grid:
        xs, ys = _positions(width, edge_px, step), _positions(height, edge_px, step)
        cells = tuple((x, y) for y in ys for x in xs)
    if way == "centred":
        name, mpp = plan.entry.name, plan.slide_mpp
        around = centred(outlines, placement, edge_px=edge_px, size_px=plan.size_px, slide_mpp=mpp, slide=name, seed=seed)
        cells = in_rows({*cells, *around})
    if grid is not None:
        cells = snapped(cells, grid=grid, edge_px=edge_px, size_px=plan.size_px)
    if plan.entry.areas is not None:
        cells = _inside(cells, edge_px, plan.entry.areas)
    if way == "intersecting":
        cells = intersecting(cells, outlines, placement, edge_px=edge_px, slide_mpp=plan.slide_mpp)
    return cells


def _edge_and_step(slide_mpp: float, wanted_mpp: float, config: TilesConfig) -> tuple[int, float]:
    """Edge and step of the grid in level-0 px."""
    ratio = wanted_mpp / slide_mpp
    if abs(ratio - 1) <= MPP_TOLERANCE:
        return config.stored_px, float(config.step_px)
    return round(config.stored_px * ratio), config.step_px * ratio


def _fitted(level0_px: int, size_px: tuple[int, int], config: TilesConfig) -> int:
    """`level0_px`, or the slide's shorter edge where that is smaller by no more than the tolerance: images cut to size beforehand."""
    shorter = min(size_px)
    fits = shorter < level0_px <= shorter * (1 + MPP_TOLERANCE) and shorter >= config.stored_px
    return shorter if fits else level0_px


def _positions(length_px: int, edge_px: int, step: float) -> list[int]:
    if edge_px > length_px:
        return []
    last = int((length_px - edge_px) / step + 1e-6)
    positions = (round(i * step) for i in range(last + 1))
    return [position for position in positions if position + edge_px <= length_px]


def _inside(cells: Sequence[tuple[int, int]], edge_px: int, areas: Sequence[Area]) -> tuple[tuple[int, int], ...]:
    """The cells that the union of the areas covers whole."""
    import shapely  # most slides have no areas

    union = shapely.union_all([shapely.box(a.x_px, a.y_px, a.x_px + a.width_px, a.y_px + a.height_px) for a in areas])
    shapely.prepare(union)
    return tuple((x, y) for x, y in cells if union.covers(shapely.box(x, y, x + edge_px, y + edge_px)))
