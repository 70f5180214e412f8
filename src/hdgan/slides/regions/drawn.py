"""What a region file holds before geometry is looked at: numbered drawings, each with its class and its rings as they stand in the file.

Frame: level-0 px of the slide, from its upper left corner, `xy`.
"""

from __future__ import annotations

from dataclasses import dataclass

from hdgan.types import Polygon

FARTHEST_PX = 1e7
"""No slide is larger."""


@dataclass(frozen=True)
class Drawing:
    """One drawing with an area."""

    number: int
    """Its place in the file, from 1."""
    class_name: str
    """As written; "" for none."""
    polygons: tuple[Polygon, ...]
    """Level-0 px; rings may cross themselves."""
    cut_out: tuple[Polygon, ...] = ()
    """What is no part of it, where the format draws holes on their own."""


@dataclass(frozen=True)
class Drawings:
    """The drawings of a file."""

    drawings: tuple[Drawing, ...]
    without_area: tuple[int, ...] = ()
    """Numbers of points, lines, rulers and empty outlines."""
