"""Opening a slide, whatever it is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from hdgan.errors import BadInput
from hdgan.slides import image, probe, pyramid
from hdgan.slides.protocol import SlideReader
from hdgan.types import Mpp

SLIDE_SUFFIXES = (".svs", ".tif", ".tiff", ".ndpi", ".vms", ".vmu", ".scn", ".mrxs", ".svslide", ".bif", ".dcm", ".czi")
"""What OpenSlide reads; plain images are `image.SUFFIXES`."""

MPP_REMEDY = "give its scale in um/px: the column `mpp` of a slide table, `slide_mpp` in the settings, or --mpp of `hdgan inspect`"

_CLOSED = "ask whoever owns it for the right to, or leave it out"

ReaderChoice = Literal["auto", "openslide"]


def open_slide(path: Path, *, mpp_override: float | None = None, reader: ReaderChoice = "auto") -> SlideReader:
    """The slide at `path`, open. `mpp_override` (um/px of level 0) goes before what the file states.

    With "auto" its tiles are decoded directly where that gives OpenSlide's pixels (`hdgan.slides.probe`); what
    was chosen, and why, are `reader` and `reason` of the slide.

    Raises:
        BadInput: there is no such file, or it is damaged or of an unknown kind.
    """
    if mpp_override is not None and not mpp_override > 0:
        raise BadInput(path, f"a scale of {mpp_override} um/px is impossible", "give a positive number")
    try:
        is_file = path.is_file()
    except PermissionError as error:
        raise BadInput(path, "lies in a folder that you may not read", _CLOSED) from error
    if not is_file:
        what = "is a folder, not a slide" if path.is_dir() else "no such file"
        raise BadInput(path, what, "check the path; relative ones start at the folder of the file that names them")
    if not os.access(path, os.R_OK):
        raise BadInput(path, "is a file that you may not read", _CLOSED)
    if path.stat().st_size == 0:
        raise BadInput(path, "is empty", "copy it again from its source")
    if pyramid.knows(path) or path.suffix.lower() not in image.SUFFIXES:
        slide = pyramid.PyramidSlide(path, mpp_override=mpp_override, reason="asked for")
        return slide if reader == "openslide" else probe.suited(slide)
    return image.ImageSlide(path, mpp_override=mpp_override)


def known_mpp(slide: SlideReader, *, fallback: float | None = None) -> Mpp:
    """The scale of level 0 in um/px: the slide's, else `fallback`.

    Raises:
        BadInput: there is neither.
    """
    if slide.mpp is not None:
        return slide.mpp
    if fallback is None:
        raise BadInput(slide.path, "does not state its scale (mpp)", MPP_REMEDY)
    return Mpp(fallback)
