"""What GeoJSON of drawn regions is made of, as QuPath writes it: features, their rings and what these enclose, their class.

Masks and slides read it through here.

A file is a FeatureCollection, a bare list of features or one feature, plain or gzipped (told by its content). Coordinates are pixels of the image
that was drawn on, from its top-left corner.
"""

from __future__ import annotations

import gzip
import io
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hdgan.errors import BadInput
from hdgan.types import Polygon, Ring

if TYPE_CHECKING:
    import shapely

MOST_BYTES = 1 << 30
"""Larger files are refused, before and after unpacking."""

_FARTHEST_PX = 1e7
_GZIP = b"\x1f\x8b"
_SMALLER = "export one file for each image"


def read_geojson_file(path: Path) -> Any:
    """The parsed JSON of the file at `path`.

    Raises:
        BadInput: it cannot be read, is no JSON, or is too large.
    """
    return parse_geojson(read_bounded(path), where=path)


def read_bounded(path: Path, *, most_bytes: int = MOST_BYTES) -> bytes:
    """The bytes of the file at `path`.

    Raises:
        BadInput: it cannot be read or has more than `most_bytes`.
    """
    try:
        with path.open("rb") as file:
            data = file.read(most_bytes + 1)
    except OSError as error:
        raise BadInput(path, f"cannot be read ({error})", "check the path and that it may be read") from error
    if len(data) > most_bytes:
        raise BadInput(path, f"has more than {most_bytes >> 20} MiB", _SMALLER)
    return data


def parse_geojson(data: bytes, *, where: str | Path, most_bytes: int = MOST_BYTES) -> Any:
    """The parsed JSON in `data`, which may be gzipped to at most `most_bytes`.

    Raises:
        BadInput: it is no JSON or too large.
    """
    try:
        if data.startswith(_GZIP):
            with gzip.open(io.BytesIO(data)) as stream:
                data = stream.read(most_bytes + 1)
            if len(data) > most_bytes:
                raise BadInput(where, f"more than {most_bytes >> 20} MiB of GeoJSON", _SMALLER)
        return json.loads(data.decode("utf-8-sig"), parse_constant=_refuse_constant)
    except (OSError, EOFError, ValueError, RecursionError) as error:
        raise BadInput(where, f"cannot be read as GeoJSON ({error})", "export it from QuPath again") from error


def features_of(data: Any, *, where: str | Path) -> list[Any]:
    """The features in parsed GeoJSON, in their order.

    Raises:
        BadInput: it is neither a FeatureCollection, a feature nor a list.
    """
    if isinstance(data, dict) and data.get("type") == "FeatureCollection":
        features = data.get("features")
    elif isinstance(data, dict) and data.get("type") == "Feature":
        features = [data]
    else:
        features = data
    if not isinstance(features, list):
        raise BadInput(where, "neither a FeatureCollection nor a list of features", "export the annotations from QuPath as GeoJSON")
    return features


def geometry_of(feature: Any, *, what: str, where: str | Path) -> dict[str, Any]:
    """The geometry of a feature; `what` names the feature in messages.

    Raises:
        BadInput: it has none.
    """
    if not isinstance(feature, dict) or not isinstance(feature.get("geometry"), dict):
        raise BadInput(where, f"{what} has no geometry", "export the annotations from QuPath as GeoJSON")
    geometry: dict[str, Any] = feature["geometry"]
    return geometry


def polygons_of(geometry: dict[str, Any], *, what: str, where: str | Path) -> tuple[Polygon, ...]:
    """The polygons of a Polygon or MultiPolygon, float64 rings without their repeated last corner.

    Raises:
        BadInput: it is another geometry, a ring has fewer than three corners, or a coordinate is no number of pixels.
    """
    kind, coordinates = geometry.get("type"), geometry.get("coordinates")
    if kind not in ("Polygon", "MultiPolygon"):
        raise BadInput(where, f"{what} is a {kind}, which has no area", "keep areas only (Polygon, MultiPolygon)")
    parts = [coordinates] if kind == "Polygon" else coordinates
    if not isinstance(parts, list) or not parts or not all(isinstance(part, list) and part for part in parts):
        raise BadInput(where, f"{what} is a {kind} without rings", "export it again")
    return tuple(tuple(_ring(ring, what, where) for ring in part) for part in parts)


def shape_of(polygon: Polygon) -> tuple[shapely.Geometry, bool]:
    """What a polygon encloses, valid and without lines, and whether its rings had to be repaired: each by the even-odd rule, the shell without the holes.

    GEOS's own repair is another: it fills what a ring runs around twice, and fails on some shells without area that have holes.
    """
    import shapely  # here and below: whoever reads no outlines does without

    shape = shapely.Polygon(polygon[0], polygon[1:])
    if shape.is_valid:
        return shape, False
    shell, *holes = (_enclosed(ring) for ring in polygon)
    return shapely.difference(shell, shapely.union_all(holes)), True


def _enclosed(ring: Ring) -> shapely.Geometry:
    """The area inside of a ring by the even-odd rule: the faces between its lines from which a ray crosses it an odd number of times."""
    import shapely

    closed = np.concatenate([ring, ring[:1]])
    faces = shapely.get_parts(shapely.polygonize(shapely.get_parts(shapely.union_all([shapely.LineString(closed)]))))
    inner = [face for face in faces if _num_crossings(closed, shapely.point_on_surface(face)) % 2]
    return shapely.union_all(inner)


def _num_crossings(closed: Ring, point: shapely.Point) -> int:
    """How often a ray to the right of the point crosses a closed ring."""
    (x0, y0), (x1, y1) = closed[:-1].T, closed[1:].T
    crosses = (y0 <= point.y) != (y1 <= point.y)
    at = x0[crosses] + (point.y - y0[crosses]) * ((x1 - x0)[crosses] / (y1 - y0)[crosses])
    return int(np.count_nonzero(at > point.x))


def class_name_of(properties: Any, *, what: str, where: str | Path) -> str:
    """The name in the classification; "A: B" for QuPath's derived classes, "" where there is none.

    Raises:
        BadInput: there is a classification, and its name is no text.
    """
    classification = properties.get("classification") if isinstance(properties, dict) else None
    if isinstance(classification, dict):
        names = classification.get("names", classification.get("name"))
        classification = ": ".join(names) if isinstance(names, list) and all(isinstance(name, str) for name in names) else names
    if classification is None:
        return ""
    if not isinstance(classification, str):
        raise BadInput(where, f"{what} has a classification without a name", "give it a class in QuPath")
    return classification.strip()


def _refuse_constant(text: str) -> float:
    raise ValueError(f"{text} is no coordinate")


def _ring(points: Any, what: str, where: str | Path) -> Ring:
    if not isinstance(points, list) or not all(_is_position(point) for point in points):
        raise BadInput(where, f"{what} has a ring with a corner that is no pair of pixel coordinates", "export it again")
    ring = np.asarray([point[:2] for point in points], dtype=np.float64).reshape(-1, 2)
    if len(ring) > 1 and np.array_equal(ring[0], ring[-1]):
        ring = ring[:-1]
    if len(ring) < 3:
        raise BadInput(where, f"{what} has a ring of {len(ring)} corners", "a ring needs three or more")
    return ring


def _is_position(point: Any) -> bool:
    """Whether `point` begins with two finite numbers of believable size (bool is a number to Python, not to a map)."""
    if not isinstance(point, list) or len(point) < 2:
        return False
    pair = point[:2]
    return all(type(value) in (int, float) and math.isfinite(value) and abs(value) <= _FARTHEST_PX for value in pair)
