"""Aperio ImageScope's XML: layers (`Annotation`), each with regions of `Vertices`.

The class is the layer's name, else its description; a region's text names a subclass ("layer: text") where it holds a letter, and the
class where the layer has no name. A layer without any name is "layer <Id>", as ImageScope shows it. A region marked `NegativeROA` is cut out of
the other regions of its layer. `Type` 0 is an outline, 1 a rectangle, 2 an ellipse (two to four corners of its box); arrows and rulers have no area.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from hdgan.slides.regions.drawn import Drawing, Drawings
from hdgan.slides.regions.xml_tree import corners
from hdgan.types import Polygon, Ring

ROOT = "Annotations"
_AREAS = ("", "0", "1", "2", "polygon", "freehand", "rectangle", "ellipse")
_ELLIPSE_CORNERS = 96


def read_imagescope(root: Element, *, where: Path) -> Drawings:
    """The drawings below the root of the file; they are numbered through all layers.

    Raises:
        BadInput: a corner is no pair of numbers.
    """
    drawings: list[Drawing] = []
    without_area: list[int] = []
    number = 0
    for layer in root.iter("Annotation"):
        shown: list[tuple[int, str, Polygon]] = []
        holes: list[Polygon] = []
        for region in layer.iter("Region"):
            number += 1
            ring = _ring(region, what=f"region {number}", where=where)
            if ring is None:
                without_area.append(number)
            elif region.get("NegativeROA", "0").strip().lower() in ("1", "true"):
                holes.append((ring,))
            else:
                shown.append((number, _class_name(layer, region), (ring,)))
        cut_out = tuple(holes)
        drawings += [Drawing(place, class_name, (polygon,), cut_out) for place, class_name, polygon in shown]
    return Drawings(tuple(drawings), tuple(without_area))


def _ring(region: Element, *, what: str, where: Path) -> Ring | None:
    """The outline of a region, None where it has no area."""
    kind = region.get("Type", "").strip().lower()
    if kind not in _AREAS:
        return None
    ring = corners((point for point in region.iter() if point.tag in ("Vertex", "V")), what=what, where=where)
    if kind in ("2", "ellipse") and 2 <= len(ring) <= 4:
        return _ellipse(ring)
    if kind in ("1", "rectangle") and len(ring) == 2:
        (left, top), (right, bottom) = ring.min(axis=0), ring.max(axis=0)
        return np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
    return ring if len(ring) >= 3 else None


def _ellipse(box: Ring) -> Ring:
    """The ellipse inside the box of the given corners."""
    low, high = box.min(axis=0), box.max(axis=0)
    angles = np.linspace(0, 2 * np.pi, _ELLIPSE_CORNERS, endpoint=False)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    ellipse: Ring = (low + high) / 2 + circle * (high - low) / 2
    return ellipse


def _class_name(layer: Element, region: Element) -> str:
    name, text = layer.get("Name", "").strip() or _description(layer.findall("Attributes/Attribute")), region.get("Text", "").strip()
    is_word = any(letter.isalpha() for letter in text)
    if name and is_word and text.casefold() != name.casefold():
        return f"{name}: {text}"
    return name or (text if is_word else f"layer {layer.get('Id', '')}".strip())


def _description(attributes: Sequence[Element]) -> str:
    found = [entry.get("Value", "").strip() for entry in attributes if entry.get("Name", "").strip().lower() == "description"]
    return found[0] if found else ""
