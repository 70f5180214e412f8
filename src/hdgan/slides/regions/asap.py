"""ASAP's XML: annotations of a type and of a group, which is their class.

Polygons, rectangles and splines have an area; the corners of a spline are joined by straight lines. ASAP has no holes of its own: a group called
`Exclusion`, or `_2` as in CAMELYON16, is cut out of all other groups.
"""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from hdgan.errors import BadInput
from hdgan.slides.regions.drawn import Drawing, Drawings
from hdgan.slides.regions.xml_tree import corners
from hdgan.types import Polygon, Ring

ROOT = "ASAP_Annotations"
HOLES = ("exclusion", "_2")
"""Groups that are cut out of the others, in lower case."""

_AREAS = ("polygon", "rectangle", "spline")
_NO_GROUP = ("", "none")


def read_asap(root: Element, *, where: Path) -> Drawings:
    """The drawings below the root of the file.

    Raises:
        BadInput: a corner is no pair of numbers, or its order no number.
    """
    shown: list[tuple[int, str, Polygon]] = []
    holes: list[Polygon] = []
    without_area: list[int] = []
    for number, annotation in enumerate(root.iter("Annotation"), start=1):
        ring = _ring(annotation, what=f"annotation {number}", where=where)
        group = annotation.get("PartOfGroup", "").strip()
        if ring is None:
            without_area.append(number)
        elif group.lower() in HOLES:
            holes.append((ring,))
        else:
            shown.append((number, "" if group.lower() in _NO_GROUP else group, (ring,)))
    cut_out = tuple(holes)
    return Drawings(tuple(Drawing(number, name, (polygon,), cut_out) for number, name, polygon in shown), tuple(without_area))


def _ring(annotation: Element, *, what: str, where: Path) -> Ring | None:
    """The outline of an annotation, None where it has no area."""
    if annotation.get("Type", "").strip().lower() not in _AREAS:
        return None
    points = list(annotation.iter("Coordinate"))
    try:
        points.sort(key=lambda point: float(point.get("Order", "0")))
    except ValueError as error:
        raise BadInput(where, f"{what} has a corner without a place in the order ({error})", "export the outlines again") from error
    ring = corners(points, what=what, where=where)
    if annotation.get("Type", "").strip().lower() == "rectangle" and len(ring) == 2:
        (left, top), (right, bottom) = ring.min(axis=0), ring.max(axis=0)
        return np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
    return ring if len(ring) >= 3 else None
