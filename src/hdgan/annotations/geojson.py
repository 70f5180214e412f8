"""Regions as QuPath writes them to GeoJSON, in and out. Knows the format, not the class map's use of it.

In: a FeatureCollection, a bare list of features or one feature; `.geojson` or gzipped `.geojson.gz`; geometries Polygon and
MultiPolygon, first ring shell, further rings holes; `properties.classification` a string or an object with `name` or `names`.
Out: a FeatureCollection with one Polygon for each connected piece, on pixel edges; a classification always has a name *and* a
colour, because QuPath's reader refuses one without. Coordinates are image pixels from the top-left corner (`raster.py`).
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdgan.annotations.masks import check_labels
from hdgan.annotations.trace import trace
from hdgan.errors import BadMask
from hdgan.labels import IGNORE, ClassMap
from hdgan.store.geojson import class_name_of, features_of, geometry_of, polygons_of, read_geojson_file
from hdgan.types import Polygon, Ring

SUFFIXES = (".geojson", ".geojson.gz")
IGNORED_CLASS = "Ignore*"
"""QuPath's name for what belongs to no class; names that end in * are never made into objects there."""

_ID_SPACE = uuid.uuid5(uuid.NAMESPACE_URL, "hdgan:region")


@dataclass(frozen=True)
class Region:
    """One drawn object: its number in the file (from 1), the name of its class as written ("" for none), its polygons."""

    number: int
    class_name: str
    polygons: tuple[Polygon, ...]
    image_hash: str = ""
    """Of the image that it was drawn on, where the file says so: `mask_to_geojson` is given it as metadata, which QuPath keeps."""


def read_geojson(path: Path) -> tuple[Region, ...]:
    """The regions of the file at `path` in its order.

    Raises:
        BadInput: it cannot be read, is no GeoJSON of areas, or has a coordinate that is no number of pixels.
    """
    return regions_from_json(read_geojson_file(path), where=path)


def regions_from_json(data: Any, *, where: str | Path) -> tuple[Region, ...]:
    """The regions in parsed GeoJSON `data`.

    Raises:
        BadInput: a geometry is no Polygon or MultiPolygon, a ring has fewer than three corners, a coordinate is no number.
    """
    return tuple(_region(feature, number, where) for number, feature in enumerate(features_of(data, where=where), start=1))


def check_image(regions: Sequence[Region], *, name: str, image_hash: str, where: str | Path) -> None:
    """Passes unless all of the `regions` that say on which image they were drawn say another than that of the sample called `name`.

    Those of a person's own hand say nothing; one outline copied from another image is no reason to refuse the rest.

    Raises:
        BadMask: the file has the name of another sample than its own, or is of another run.
    """
    stated = sorted({region.image_hash for region in regions if region.image_hash})
    if stated and image_hash not in stated:
        what = f"was drawn on an image with hash {stated[0][:12]}, sample {name} has {image_hash[:12]}"
        raise BadMask(where, what, "give it the name of its own image, or import it into the run whose sample was annotated")


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


def _region(feature: Any, number: int, where: str | Path) -> Region:
    what = f"feature {number}"
    polygons = polygons_of(geometry_of(feature, what=what, where=where), what=what, where=where)
    properties = feature.get("properties")
    return Region(number, class_name_of(properties, what=what, where=where), polygons, _image_hash(properties))


def _image_hash(properties: Any) -> str:
    metadata = properties.get("metadata") if isinstance(properties, dict) else None
    stated = metadata.get("image_hash") if isinstance(metadata, dict) else None
    return stated if isinstance(stated, str) else ""


def _closed(ring: Ring) -> list[list[int]]:
    points = [[int(x), int(y)] for x, y in ring]
    return [*points, points[0]]
