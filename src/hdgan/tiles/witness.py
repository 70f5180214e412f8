"""What is known against a region of a slide: errors, what the second reader says, what a decoder complains of, what the overview shows instead."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from hdgan.errors import BadInput
from hdgan.progress import Progress
from hdgan.slides.direct import DirectSlide
from hdgan.slides.jpeg_check import tiff_complaint
from hdgan.slides.protocol import SlideReader, UndecodableRegion, level_region
from hdgan.slides.second import CrossCheck, cross_check, second_reader
from hdgan.tiles.config import TilesConfig
from hdgan.tiles.encode import TakenTile
from hdgan.tiles.overview import Overview
from hdgan.tiles.plan import SlidePlan
from hdgan.tiles.suspicion import suspicion
from hdgan.tiles.unread import COMPLAINT, DIFFER, NOT_SEEN, TILE_DROPPED, UNDECODABLE, Unread

_SAID = {
    "same": "agrees",
    "not comparable": "agrees",
    "differ": "differs",
    "first fails": "reads it",
    "second fails": "fails",
    "both fail": "fails",
}


class Witness:
    """Judges the tiles of one open slide, and opens its second reader where that is asked. A context manager."""

    def __init__(self, slide: SlideReader, plan: SlidePlan, config: TilesConfig, *, progress: Progress) -> None:
        self._slide, self._plan, self._config, self._progress = slide, plan, config, progress
        self._second: SlideReader | None = None
        self._is_sought = False

    def __enter__(self) -> Witness:
        """Itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Closes the second reader."""
        if self._second is not None:
            self._second.close()

    def failed(self, xy: tuple[int, int], error: BadInput) -> Unread:
        """The record of a tile at `xy` (level-0 px) that could not be read, with what the second reader makes of it."""
        said = error.reason if isinstance(error, UndecodableRegion) else error.what
        second = self._other()
        if second is None:
            return self._tile(xy, UNDECODABLE, said, second="none")
        check = cross_check(self._slide, second, xy, **self._region, seen=error)
        return self._tile(xy, UNDECODABLE, said, second=_SAID[check.verdict], second_said=_told(check, second))

    def doubt(self, xy: tuple[int, int], taken: TakenTile, overview: Overview | None) -> Unread | None:
        """What speaks against a tile that was read at `xy` (level-0 px); None where nothing does. `overview` is None where it was not read there.

        With `strict` settings its compressed data and the second reader are asked, too.
        """
        level0_px, most = self._plan.level0_px, self._config.max_disagreement
        found = None if overview is None else suspicion(taken.pixels, overview, xy, level0_px=level0_px, most=most)
        if found is not None:
            second = self._other()
            if second is None:
                return self._tile(xy, *found, second="none")
            check = cross_check(self._slide, second, xy, **self._region, seen=taken.pixels)
            return self._tile(xy, *found, second=_SAID[check.verdict], second_said=_told(check, second))
        return self._strictly(xy, taken) if self._config.strict else None

    def lost(self, overview: Overview) -> list[Unread]:
        """The records of what an overview could not be made from, told in one line."""
        if overview.lost:
            self._progress.say(f"{self._slide.path}: {_summed(overview)}")
        return [
            Unread(
                slide=self._plan.entry.name,
                part="overview",
                x_px=lost.error.xy[0],
                y_px=lost.error.xy[1],
                width_px=lost.size_px[0],
                height_px=lost.size_px[1],
                level=lost.error.level,
                reader=lost.error.reader,
                what=UNDECODABLE,
                said=self._cleaned(lost.error.reason),
                second="",
                second_said="",
                outcome=NOT_SEEN if lost.made_from is None else f"made from level {lost.made_from}",
            )
            for lost in overview.lost
        ]

    def _strictly(self, xy: tuple[int, int], taken: TakenTile) -> Unread | None:
        is_raw = self._config.format == "raw"  # with `auto` what is known against a tile is what is known against it as PNG
        complaint = tiff_complaint(taken.copied) if is_raw and taken.copied is not None else ""
        second = self._other()
        direct = next((reader for reader in (self._slide, second) if isinstance(reader, DirectSlide)), None)
        if direct is not None and not complaint:
            complaint = direct.complaint(*level_region(direct.levels, xy, **self._region, where=direct.path))
        if complaint:
            return self._tile(xy, COMPLAINT, complaint)
        if second is None:
            return None
        check = cross_check(self._slide, second, xy, **self._region, seen=taken.pixels)
        if check.verdict == "second fails":
            return self._tile(xy, UNDECODABLE, f"the second reader fails: {check.detail}", second="fails", second_said=_told(check, second))
        # Equal bit by bit where the probe found the two equal; else, and where OpenSlide blends pixels, equal in the means of blocks.
        is_exact = isinstance(self._slide, DirectSlide) and check.verdict == "differ"
        if is_exact or check.mean_gap > self._config.max_disagreement:
            return self._tile(xy, DIFFER, check.detail, second="differs", second_said=_told(check, second))
        return None

    @property
    def _region(self) -> dict[str, Any]:
        return {"level0_size": self._plan.level0_px, "out_px": self._config.stored_px}

    def _other(self) -> SlideReader | None:
        """The second reader, sought once; that there is none is said once where it is needed for all tiles."""
        if not self._is_sought:
            self._is_sought = True
            try:
                self._second = second_reader(self._slide)
                why = "there is no second reader for it"
            except BadInput as error:
                why = error.what
            if self._second is None and self._config.strict:
                self._progress.say(f"{self._slide.path}: read by {self._slide.reader} alone; {why}, and strict compares nothing")
        return self._second

    def _tile(self, xy: tuple[int, int], what: str, said: str, *, second: str = "", second_said: str = "") -> Unread:
        level, _, _ = level_region(self._slide.levels, xy, **self._region, where=self._slide.path)
        note = Unread(
            slide=self._plan.entry.name,
            part="tile",
            x_px=xy[0],
            y_px=xy[1],
            width_px=self._plan.level0_px,
            height_px=self._plan.level0_px,
            level=level,
            reader=self._slide.reader,
            what=what,
            said=self._cleaned(said),
            second=second,
            second_said=self._cleaned(second_said),
            outcome=TILE_DROPPED,
        )
        self._progress.say(f"{self._slide.path}: tile at x {xy[0]}, y {xy[1]} (level-0 px) dropped, {what}: {note.said}")
        return note

    def _cleaned(self, text: str) -> str:
        """One line in which the slide's path is not named: it may hold a patient's name."""
        line = " ".join(text.split())
        for name in (str(self._slide.path), str(self._slide.path.absolute()), self._slide.path.name):
            line = line.replace(name, "the slide")
        return line


def _told(check: CrossCheck, second: SlideReader) -> str:
    if check.verdict in ("differ", "not comparable"):
        return f"{second.reader}: {check.detail}"
    if check.verdict in ("both fail", "second fails"):
        return check.detail.split(" | ")[-1]
    return second.reader


def _summed(overview: Overview) -> str:
    """A line on what was lost."""
    levels = " and ".join(f"level {level}" for level in sorted({lost.error.level for lost in overview.lost}))
    num_open = sum(lost.made_from is None for lost in overview.lost)
    parts = [f"{levels} cannot be decoded at {len(overview.lost)} places of the overview"]
    if num_open < len(overview.lost):
        parts.append(f"{len(overview.lost) - num_open} are made from a finer level")
    if overview.left_for is not None:
        parts.append(f"the rest from level {overview.left_for}, too")
    if num_open:
        parts.append(f"{num_open} are left open, and cells there are judged by their own pixels")
    return "; ".join(parts)
