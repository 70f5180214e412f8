"""Leica SCN slides painted for tests: the scanned part lies somewhere on a larger slide, and the file states where."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile

from tests.slides.painting import halved

_SCHEMA = "http://www.leica-microsystems.com/scn/2010/10/01"
_MACRO_PX = 64
_SETTINGS = (
    "<scanSettings><objectiveSettings><objective>{objective}</objective></objectiveSettings>"
    "<illuminationSettings><illuminationSource>brightfield</illuminationSource></illuminationSettings></scanSettings>"
)


def write_scn(path: Path, pixels: np.ndarray, *, corner_px: tuple[int, int], slide_px: tuple[int, int], mpp: float = 0.5) -> Path:
    """Writes `pixels` as the scanned part, its upper left corner at `corner_px` of a slide of `slide_px` (width, height): two levels, and a macro image."""
    levels = [pixels, halved(pixels)]
    macro = np.full((_MACRO_PX, _MACRO_PX, 3), 200, np.uint8)
    images = _image([macro], first=0, size_px=slide_px, corner_px=(0, 0), mpp=mpp, objective=1)
    images += _image(levels, first=1, size_px=pixels.shape[1::-1], corner_px=corner_px, mpp=mpp, objective=20)
    text = f'<?xml version="1.0"?><scn xmlns="{_SCHEMA}"><collection name="painted" {_size(slide_px, mpp)}>{images}</collection></scn>'
    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        for index, level in enumerate([macro, *levels]):
            per_cm = 1e4 / (mpp * 2 ** max(index - 1, 0))
            writer.write(
                level,
                tile=(64, 64),
                photometric="rgb",
                compression="jpeg",
                compressionargs={"level": 95},
                metadata=None,
                software=False,
                description=None if index else text,
                resolution=(per_cm, per_cm),
                resolutionunit="CENTIMETER",
            )
    return path


def _image(
    levels: list[np.ndarray], *, first: int, size_px: tuple[int, int], corner_px: tuple[int, int], mpp: float, objective: int
) -> str:
    """An image of the collection; `first` is the page of its finest level."""
    stored = "".join(
        f'<dimension sizeX="{level.shape[1]}" sizeY="{level.shape[0]}" r="{index}" ifd="{first + index}"/>'
        for index, level in enumerate(levels)
    )
    pixels = f'<pixels sizeX="{levels[0].shape[1]}" sizeY="{levels[0].shape[0]}">{stored}</pixels>'
    x, y = (_nm(edge, mpp) for edge in corner_px)
    view = f'<view {_size(size_px, mpp)} offsetX="{x}" offsetY="{y}"/>'
    return f'<image name="{first}"><device model="painted"/>{pixels}{view}{_SETTINGS.format(objective=objective)}</image>'


def _size(size_px: tuple[int, int], mpp: float) -> str:
    width, height = (_nm(edge, mpp) for edge in size_px)
    return f'sizeX="{width}" sizeY="{height}"'


def _nm(edge_px: int, mpp: float) -> int:
    return round(edge_px * mpp * 1000)
