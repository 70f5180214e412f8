"""The outlined regions of a stage: what the manifest and a person are told of them, and what becomes of a stage in which they place no tile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hdgan.errors import BadInput
from hdgan.slides.pseudonyms import Pseudonyms
from hdgan.slides.regions.classes import is_of_class
from hdgan.slides.regions.read import Regions
from hdgan.tiles.config import TilesConfig
from hdgan.tiles.hits import UNNAMED, Hit, hits_of
from hdgan.tiles.placement import chosen
from hdgan.tiles.placement_config import PlacementConfig
from hdgan.tiles.plan import SlidePlan

_MOST_NAMED = 8


def region_inputs(plans: Sequence[SlidePlan]) -> dict[str, str]:
    """Content hash of each slide's region file, as the manifest records it, and where its origin lies where that is not the slide's own."""
    return {f"regions {plan.entry.name}": _told(plan.regions) for plan in plans if plan.regions is not None}


def with_hidden_classes(plan: SlidePlan, pseudonyms: Pseudonyms, config: TilesConfig) -> SlidePlan:
    """The plan, the classes of its outlines by pseudonyms but for those that the settings name. The cells stay where they are."""
    if plan.regions is None:
        return plan
    placement = config.placement
    shown = (*config.region_classes_shown, *placement.classes, *placement.not_classes, *placement.tiles_per_object_of)
    outlines = (replace(outline, class_name=pseudonyms.region_class(outline.class_name, shown=shown)) for outline in plan.regions.outlines)
    return replace(plan, regions=replace(plan.regions, outlines=tuple(outlines)))


def all_hits(plans: Sequence[SlidePlan]) -> tuple[Hit, ...]:
    """What the cells of all slides hold, in the order of slides and cells."""
    outlined = [plan for plan in plans if plan.regions is not None]
    return tuple(hit for plan in outlined for hit in _hits(plan))


def region_counts(plans: Sequence[SlidePlan]) -> dict[str, Any]:
    """What the manifest says of them: slides with a region file, and objects by class; nothing where there is no region file."""
    outlined = [plan.regions for plan in plans if plan.regions is not None]
    objects = Counter(outline.class_name or UNNAMED for regions in outlined for outline in regions.outlines)
    return {"regions": {"slides": len(outlined), "objects": dict(sorted(objects.items()))}} if outlined else {}


def region_notes(plans: Sequence[SlidePlan], config: TilesConfig) -> tuple[tuple[str, str], ...]:
    """What to look at: (slide, what) for outlines that were changed or left out, and for slides without a region file where one was asked for."""
    told: list[tuple[str, str]] = []
    first: dict[str, str] = {}
    for plan in plans:
        if plan.regions is not None:
            told += [(plan.entry.name, f"regions: {note}") for note in plan.regions.notes]
            other = first.setdefault(plan.regions.content, plan.entry.name)
            if other != plan.entry.name and plan.regions.outlines:
                told.append((plan.entry.name, f"regions: its file is that of {other}, too, byte for byte: is it of this slide?"))
        elif config.placement.way != "grid" or config.regions is not None:
            told.append((plan.entry.name, f"has no region file{_consequence(config)}"))
    return tuple(told)


def refuse_unplaced(plans: Sequence[SlidePlan], config: TilesConfig) -> None:
    """Refuses plans whose regions place no tile at all, although slides are large enough, and a number of tiles for a class that nothing is of.

    Raises:
        BadInput: says whether region files, the classes asked for, or enough of them are lacking.
    """
    outlined = [plan.regions for plan in plans if plan.regions is not None]
    placement = config.placement
    names = sorted({outline.class_name or UNNAMED for regions in outlined for outline in regions.outlines})
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    found = f"found are {', '.join(names[:_MOST_NAMED])}{more}" if names else "the files hold no outlines"
    where = plans[0].entry.path if len(plans) == 1 else f"{len(plans)} slides"
    for name in placement.tiles_per_object_of:
        if outlined and not any(is_of_class(held, (name,)) for held in names):
            raise BadInput(where, f"no outlined region is of class {name!r}; {found}", "change placement.tiles_per_object_of")
    has_objects = any(chosen(regions.outlines, placement) for regions in outlined)
    # A grid beside it would hide that a class is misspelt, or no object large enough.
    is_met = any(plan.cells for plan in plans) and (not placement.and_grid or any(_has_large_object(plan, placement) for plan in plans))
    if placement.way == "grid" or is_met or all(plan.level0_px > min(plan.size_px) for plan in plans):
        return
    if not outlined:
        remedy = "name region files in the column `regions` of a slide table or by `tiles.regions`"
        raise BadInput(where, f'no slide has a region file, and placement.way is "{placement.way}"', remedy)
    if not has_objects:
        raise BadInput(where, f"no outlined region is of a class asked for; {found}", "change placement.classes or not_classes")
    what = "no outlined region is large enough, or none lies where a tile may"
    raise BadInput(where, what, "lower min_area_um2 or min_share of [tiles.placement], or look at the areas in the slide table")


def _has_large_object(plan: SlidePlan, placement: PlacementConfig) -> bool:
    outlines = chosen(plan.regions.outlines, placement) if plan.regions else ()
    return any(outline.shape.area * plan.slide_mpp**2 >= placement.min_area_um2 for outline in outlines)


def _hits(plan: SlidePlan) -> tuple[Hit, ...]:
    assert plan.regions is not None
    return hits_of(plan.entry.name, plan.cells, plan.regions.outlines, edge_px=plan.level0_px, slide_mpp=plan.slide_mpp)


def _told(regions: Regions) -> str:
    x, y = regions.counted_from
    return f"sha256:{regions.content}" + (f" from x {x}, y {y}" if x or y else "")


def _consequence(config: TilesConfig) -> str:
    if config.placement.way == "grid":
        return ""
    return ": tiles lie on all of the grid" if config.placement.unoutlined_give_grid else ": it gives no tile"
