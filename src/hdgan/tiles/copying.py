"""Whether the tiles of a slide could be stored by copying, before there are settings: what `hdgan inspect` says of `format = "auto"`."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from hdgan.slides.reader import known_mpp, open_slide
from hdgan.tiles.plan import MPP_TOLERANCE
from hdgan.tiles.raw_copy import CannotCopyError, raw_grid


@dataclass(frozen=True)
class Copying:
    """What copies of a slide's finest level would be."""

    tile_px: tuple[int, int] | None
    """Width and height of its JPEG tiles; None where they cannot be copied."""
    reason: str = ""
    """Why not."""


def copying(path: Path, *, mpp: float | None = None) -> Copying:
    """What copies of the finest level of the slide at `path` would be; `mpp` (um/px) goes before what the file states.

    Raises:
        BadInput: the slide cannot be opened or has no scale.
    """
    with closing(open_slide(path, mpp_override=mpp, reader="openslide")) as slide:  # no pixel is read
        scale = known_mpp(slide)
        try:
            return Copying(raw_grid(slide, slide_mpp=scale, mpp=scale, tolerance=MPP_TOLERANCE).tile_px)
        except CannotCopyError as error:
            return Copying(None, error.why)
