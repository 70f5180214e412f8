"""Region files as QuPath, ImageScope and ASAP write them, from rings of corners, for the tests of slides and tiles."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

Corners = Sequence[Sequence[float]]


def square(x: float, y: float, edge: float) -> list[list[float]]:
    """The corners of a square from its upper left one."""
    return [[x, y], [x + edge, y], [x + edge, y + edge], [x, y + edge]]


def circle(x: float, y: float, radius: float, *, corners: int = 48) -> list[list[float]]:
    """The corners of a circle."""
    angles = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    return np.round(np.stack([x + radius * np.cos(angles), y + radius * np.sin(angles)], axis=1), 3).tolist()


def feature(*rings: Corners, classification: object = None, name: str | None = None) -> dict[str, object]:
    """A GeoJSON feature with a shell and holes."""
    properties: dict[str, object] = {"objectType": "annotation"}
    if classification is not None:
        properties["classification"] = classification
    if name is not None:
        properties["name"] = name
    closed = [[*ring, ring[0]] for ring in rings]
    return {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": closed}, "properties": properties}


def write_qupath(path: Path, outlines: Sequence[tuple[str, Corners]]) -> Path:
    """A FeatureCollection of (class, corners)."""
    features = [feature(ring, classification={"name": name, "color": [1, 2, 3]}) for name, ring in outlines]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def imagescope(*layers: str) -> bytes:
    """A file of layers as `layer` makes them."""
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<Annotations MicronsPerPixel="0.5">{"".join(layers)}</Annotations>'.encode()


def layer(*regions: str, name: str = "", description: str = "", number: int = 1) -> str:
    """A layer of regions as `region` makes them."""
    attributes = f'<Attributes><Attribute Name="Description" Id="0" Value="{description}"/></Attributes>'
    return f'<Annotation Id="{number}" Name="{name}" Type="4">{attributes}<Regions><RegionAttributeHeaders/>{"".join(regions)}</Regions></Annotation>'


def region(corners: Corners, *, kind: str = "0", text: str = "", is_negative: bool = False) -> str:
    """A region with its vertices."""
    vertices = "".join(f'<Vertex X="{x}" Y="{y}" Z="0"/>' for x, y in corners)
    return f'<Region Id="1" Type="{kind}" Text="{text}" NegativeROA="{int(is_negative)}"><Vertices>{vertices}</Vertices></Region>'


def asap(*annotations: str) -> bytes:
    """A file of annotations as `annotation` makes them."""
    groups = '<AnnotationGroups><Group Name="g" PartOfGroup="None" Color="#f00"><Attributes/></Group></AnnotationGroups>'
    return f'<?xml version="1.0"?>\n<ASAP_Annotations><Annotations>{"".join(annotations)}</Annotations>{groups}</ASAP_Annotations>'.encode()


def annotation(corners: Corners, *, group: str = "None", kind: str = "Polygon") -> str:
    """An annotation, its corners in reverse order of the file but numbered."""
    points = [f'<Coordinate Order="{order}" X="{x}" Y="{y}"/>' for order, (x, y) in enumerate(corners)]
    return f'<Annotation Name="a" Type="{kind}" PartOfGroup="{group}" Color="#f00"><Coordinates>{"".join(reversed(points))}</Coordinates></Annotation>'
