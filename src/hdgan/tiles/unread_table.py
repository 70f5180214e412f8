"""What could not be read or was not believed, on the report of the tiles."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from hdgan.plots.page import Page
from hdgan.tiles.unread import UNREAD, Unread

_SHOWN = 20
"""Regions of a slide that the page shows; the file has all."""
_HEAD = ["slide", "part", "place, level-0 px", "level", "reader", "what", "said", "second reader", "outcome"]


def tell_unread(page: Page, unread: Sequence[Unread]) -> None:
    """Adds a table of the regions, if there are any."""
    if not unread:
        return
    of_slide: dict[str, list[Unread]] = defaultdict(list)
    for region in unread:
        of_slide[region.slide].append(region)
    page.heading("Regions that were not read, or not believed")
    page.table(_HEAD, [_line(region) for regions in of_slide.values() for region in regions[:_SHOWN]])
    more = [f"{len(regions) - _SHOWN:,} of {slide}" for slide, regions in of_slide.items() if len(regions) > _SHOWN]
    rest = f" Not shown: {', '.join(more)}." if more else ""
    page.note(f"Nothing is ever filled in: a tile there is dropped, an overview is made from a finer level. All of them: {UNREAD}.{rest}")


def _line(region: Unread) -> list[str]:
    place = f"x {region.x_px}, y {region.y_px}, {region.width_px} x {region.height_px}"
    second = ": ".join(text for text in (region.second, region.second_said) if text)
    return [region.slide, region.part, place, str(region.level), region.reader, region.what, region.said, second, region.outcome]
