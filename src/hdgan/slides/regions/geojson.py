"""QuPath's GeoJSON as drawings on a slide.

The class is that of the classification ("A: B" for derived classes), else the name of the object. A MultiPolygon or a GeometryCollection is one
drawing. Points and lines have no area.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hdgan.errors import BadInput
from hdgan.slides.regions.drawn import Drawing, Drawings
from hdgan.store.geojson import class_name_of, features_of, parse_geojson, polygons_of
from hdgan.types import Polygon

MOST_BYTES = 256 << 20
_WITHOUT_AREA = ("Point", "MultiPoint", "LineString", "MultiLineString")
_DEEPEST = 16


def read_geojson_regions(data: bytes, *, where: Path) -> Drawings:
    """The drawings in GeoJSON, which may be gzipped.

    Raises:
        BadInput: it is no GeoJSON, or a coordinate is no number of pixels.
    """
    drawings, without_area = [], []
    for number, feature in enumerate(features_of(parse_geojson(data, where=where, most_bytes=MOST_BYTES), where=where), start=1):
        what = f"feature {number}"
        if not isinstance(feature, dict):
            raise BadInput(where, f"{what} is no feature", "export the annotations from QuPath as GeoJSON")
        polygons = tuple(_polygons(feature.get("geometry"), what, where))
        if polygons:
            drawings.append(Drawing(number, _class_name(feature.get("properties"), what, where), polygons))
        else:
            without_area.append(number)
    return Drawings(tuple(drawings), tuple(without_area))


def _polygons(geometry: Any, what: str, where: Path, *, depth: int = 0) -> Iterator[Polygon]:
    """The polygons anywhere in a geometry; those without three corners are passed over."""
    if geometry is None:
        return
    kind = geometry.get("type") if isinstance(geometry, dict) else None
    if kind in _WITHOUT_AREA:
        return
    if kind == "GeometryCollection" and isinstance(geometry.get("geometries"), list) and depth < _DEEPEST:
        for inner in geometry["geometries"]:
            yield from _polygons(inner, what, where, depth=depth + 1)
        return
    if kind not in ("Polygon", "MultiPolygon"):
        raise BadInput(where, f"{what} has a geometry of type {kind!r}", "export the annotations from QuPath as GeoJSON")
    coordinates = geometry.get("coordinates")
    parts = [coordinates] if kind == "Polygon" else coordinates
    if not isinstance(parts, list) or not all(isinstance(part, list) for part in parts):
        raise BadInput(where, f"{what} is a {kind} without rings", "export it again")
    filled = [[part[0], *(ring for ring in part[1:] if _has_corners(ring))] for part in parts if part and _has_corners(part[0])]
    if filled:
        yield from polygons_of({"type": "MultiPolygon", "coordinates": filled}, what=what, where=where)


def _has_corners(ring: Any) -> bool:
    """Whether a ring has three corners or more; what is no list is left to be refused."""
    if not isinstance(ring, list):
        return True
    is_closed = len(ring) > 1 and ring[0] == ring[-1]
    return len(ring) - is_closed >= 3


def _class_name(properties: Any, what: str, where: Path) -> str:
    found = class_name_of(properties, what=what, where=where)
    name = properties.get("name") if isinstance(properties, dict) else None
    return found or (name.strip() if isinstance(name, str) else "")
