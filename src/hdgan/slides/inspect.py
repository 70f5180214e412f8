"""What is known of a slide without reading its pixels: size, scale, levels, format, and what is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hdgan.errors import BadInput
from hdgan.slides.reader import MPP_REMEDY, open_slide
from hdgan.slides.table import SlideEntry, find_slides


@dataclass(frozen=True)
class SlideReport:
    """One line about a slide."""

    name: str
    path: Path
    vendor: str = ""
    """The format, as OpenSlide names it, or "image"."""
    size_px: tuple[int, int] | None = None
    """Width and height of level 0."""
    mpp: float | None = None
    """Scale of level 0, um/px."""
    downsamples: tuple[float, ...] = ()
    """Level-0 pixels for one pixel of each level."""
    reader: str = ""
    """What decodes its pixels: "direct", "openslide" or "image"."""
    reason: str = ""
    """Why that reader."""
    objective: float | None = None
    """Magnification of the objective, where the slide states it."""
    problem: str = ""
    """What keeps it from being cut, and what to do; empty when nothing does."""

    @property
    def size_mm(self) -> tuple[float, float] | None:
        """Width and height of the scan."""
        if self.size_px is None or self.mpp is None:
            return None
        return (self.size_px[0] * self.mpp / 1000, self.size_px[1] * self.mpp / 1000)


def inspect_slides(sources: Sequence[str], *, base: Path, slide_mpp: float | None = None) -> tuple[SlideReport, ...]:
    """A report for each slide that `sources` name; `slide_mpp` (um/px) counts for those that do not state a scale.

    Raises:
        BadInput: the sources themselves cannot be read; what is wrong with one slide stands in its report.
    """
    return tuple(inspect_slide(entry, slide_mpp=slide_mpp) for entry in find_slides(sources, base=base))


def inspect_slide(entry: SlideEntry, *, slide_mpp: float | None = None) -> SlideReport:
    """The report for one slide."""
    try:
        slide = open_slide(entry.path, mpp_override=entry.mpp)
    except BadInput as error:
        return SlideReport(entry.name, entry.path, problem=str(error))
    try:
        mpp = slide.mpp if slide.mpp is not None else slide_mpp
        return SlideReport(
            name=entry.name,
            path=entry.path,
            vendor=slide.vendor,
            size_px=slide.size_px,
            mpp=mpp,
            downsamples=tuple(level.downsample for level in slide.levels),
            reader=slide.reader,
            reason=slide.reason,
            objective=slide.objective,
            problem="" if mpp else f"{entry.path}: does not state its scale (mpp); {MPP_REMEDY}",
        )
    finally:
        slide.close()
