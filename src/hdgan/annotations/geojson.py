"""Regions as QuPath writes them to GeoJSON, in and out. Knows the format, not the class map's use of it.

In: a FeatureCollection, a bare list of features or one feature; `.geojson` or gzipped `.geojson.gz`; geometries Polygon and
MultiPolygon, first ring shell, further rings holes; `properties.classification` a string or an object with `name` or `names`.
Out: a FeatureCollection with one Polygon for each connected piece, on pixel edges; a classification always has a name *and* a
colour, because QuPath's reader refuses one without. Coordinates are image pixels from the top-left corner (`raster.py`).
"""

from __future__ import annotations

import gzip
import json
import math
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdgan.annotations.masks import check_labels
from hdgan.annotations.raster import Polygon, Ring
from hdgan.annotations.trace import trace
from hdgan.errors import BadInput
from hdgan.labels import IGNORE, ClassMap

SUFFIXES = (".geojson", ".geojson.gz")
IGNORED_CLASS = "Ignore*"
"""QuPath's name for what belongs to no class; names that end in * are never made into objects there."""

_FARTHEST_PX = 1e7
_MOST_BYTES = 1 << 30
_ID_SPACE = uuid.uuid5(uuid.NAMESPACE_URL, "hdgan:region")


@dataclass(frozen=True)
class Region:
    """One drawn object: its number in the file (from 1), the name of its class as written ("" for none), its polygons."""

    number: int
    class_name: str
    polygons: tuple[Polygon, ...]


def read_geojson(path: Path) -> tuple[Region, ...]:
    """The regions of the file at `path` in its order.

    Raises:
        BadInput: it cannot be read, is no GeoJSON of areas, or has a coordinate that is no number of pixels.
    """
    return regions_from_json(_parse(path), where=path)


def regions_from_json(data: Any, *, where: str | Path) -> tuple[Region, ...]:
    """The regions in parsed GeoJSON `data`.

    Raises:
        BadInput: a geometry is no Polygon or MultiPolygon, a ring has fewer than three corners, a coordinate is no number.
    """
    if isinstance(data, dict) and data.get("type") == "FeatureCollection":
        features = data.get("features")
    elif isinstance(data, dict) and data.get("type") == "Feature":
        features = [data]
    else:
        features = data
    if not isinstance(features, list):
        raise BadInput(where, "neither a FeatureCollection nor a list of features", "export the annotations from QuPath as GeoJSON")
    return tuple(_region(feature, number, where) for number, feature in enumerate(features, start=1))


def mask_to_geojson(
    mask: NDArray[np.uint8], classes: ClassMap, *, name: str, metadata: Mapping[str, str] | None = None, include_ignored: bool = False
) -> dict[str, Any]:
    """A FeatureCollection that draws `mask` `[H, W]`: one Polygon for each 4-connected piece of one class.

    Filling it again gives the same mask in every pixel. Ignored pixels are those that no region covers; with `include_ignored` they are
    regions of the class `Ignore*`. `name` (of the image) makes the ids unique between files and the same in every run; `metadata` goes
    to every region.

    Raises:
        BadMask: the mask has a value that is no class.
    """
    check_labels(mask, classes, where=name)
    features = []
    for number, piece in enumerate(trace(mask), start=1):
        if piece.value == IGNORE and not include_ignored:
            continue
        entry = None if piece.value == IGNORE else classes.classes[piece.value]
        classification = {"name": entry.name if entry else IGNORED_CLASS, "color": list(entry.rgb) if entry else [128, 128, 128]}
        properties: dict[str, Any] = {
            "objectType": "annotation",
            "classification": classification,
            "measurements": {"Area px^2": piece.num_pixels},
            "metadata": {**(metadata or {}), "image": name},
        }
        geometry = {"type": "Polygon", "coordinates": [_closed(ring) for ring in piece.polygon]}
        region_id = str(uuid.uuid5(_ID_SPACE, f"{name}\0{number}"))
        features.append({"type": "Feature", "id": region_id, "geometry": geometry, "properties": properties})
    return {"type": "FeatureCollection", "features": features}


def geojson_text(data: Mapping[str, Any]) -> str:
    """`data` as text, one line for each feature, so that a change of one region is a change of one line."""
    lines = ",\n".join(json.dumps(feature, separators=(",", ":"), allow_nan=False) for feature in data["features"])
    return '{"type":"FeatureCollection","features":[\n' + lines + "\n]}\n"


def _parse(path: Path) -> Any:
    try:
        raw = path.read_bytes()
        if path.name.endswith(".gz"):
            with gzip.open(path) as stream:
                raw = stream.read(_MOST_BYTES + 1)
        if len(raw) > _MOST_BYTES:
            raise BadInput(path, f"more than {_MOST_BYTES >> 20} MiB of GeoJSON", "export one file for each image")
        return json.loads(raw.decode("utf-8-sig"), parse_constant=_refuse_constant)
    except (OSError, EOFError, ValueError, RecursionError) as error:
        raise BadInput(path, f"cannot be read as GeoJSON ({error})", "export it from QuPath again") from error


def _refuse_constant(text: str) -> float:
    raise ValueError(f"{text} is no coordinate")


def _region(feature: Any, number: int, where: str | Path) -> Region:
    what = f"feature {number}"
    if not isinstance(feature, dict) or not isinstance(feature.get("geometry"), dict):
        raise BadInput(where, f"{what} has no geometry", "export the annotations from QuPath as GeoJSON")
    geometry = feature["geometry"]
    kind, coordinates = geometry.get("type"), geometry.get("coordinates")
    if kind not in ("Polygon", "MultiPolygon"):
        raise BadInput(where, f"{what} is a {kind}, which has no area", "keep areas only (Polygon, MultiPolygon)")
    parts = [coordinates] if kind == "Polygon" else coordinates
    if not isinstance(parts, list) or not parts or not all(isinstance(part, list) and part for part in parts):
        raise BadInput(where, f"{what} is a {kind} without rings", "export it again")
    polygons = tuple(tuple(_ring(ring, what, where) for ring in part) for part in parts)
    return Region(number, _class_name(feature.get("properties"), what, where), polygons)


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


def _class_name(properties: Any, what: str, where: str | Path) -> str:
    """The name in the classification; "A: B" for QuPath's derived classes, "" where there is none."""
    classification = properties.get("classification") if isinstance(properties, dict) else None
    if isinstance(classification, dict):
        names = classification.get("names", classification.get("name"))
        classification = ": ".join(names) if isinstance(names, list) and all(isinstance(name, str) for name in names) else names
    if classification is None:
        return ""
    if not isinstance(classification, str):
        raise BadInput(where, f"{what} has a classification without a name", "give it a class in QuPath")
    return classification.strip()


def _closed(ring: Ring) -> list[list[int]]:
    points = [[int(x), int(y)] for x, y in ring]
    return [*points, points[0]]
