"""XML from outside as a tree, without a document type: no entity is ever defined, so that none can be expanded or fetched."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

import numpy as np

from hdgan.errors import BadInput
from hdgan.slides.regions.drawn import FARTHEST_PX
from hdgan.types import Ring

MOST_BYTES = 128 << 20
_DEEPEST = 64


def parse_xml(data: bytes, *, where: Path) -> Element:
    """The root of the XML in `data`.

    Raises:
        BadInput: it is no XML, is too large or too deeply nested, or declares a document type.
    """
    if len(data) > MOST_BYTES:
        raise BadInput(where, f"has more than {MOST_BYTES >> 20} MiB of XML", "keep the outlines of one slide in one file")
    builder, depth = TreeBuilder(), 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _DEEPEST:
            raise BadInput(where, f"has elements more than {_DEEPEST} deep", "export the outlines again")
        builder.start(tag, attributes)

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(tag)

    def refuse(*_: object) -> None:
        raise BadInput(
            where, "declares a document type (DOCTYPE), which no viewer writes", "take the declaration out, or export the outlines again"
        )

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, LookupError, ValueError) as error:
        raise BadInput(where, f"cannot be read as XML ({error})", "export the outlines again") from error
    root: Element = builder.close()
    return root


def corners(points: Iterable[Element], *, what: str, where: Path) -> Ring:
    """The ring of elements with attributes `X` and `Y`, without a repeated last corner.

    Raises:
        BadInput: one has no such numbers.
    """
    pairs = []
    for point in points:
        try:
            xy = (float(point.attrib["X"]), float(point.attrib["Y"]))
        except (KeyError, ValueError) as error:
            raise BadInput(
                where, f"{what} has a corner that is no pair of pixel coordinates ({error!r})", "export the outlines again"
            ) from error
        if not all(math.isfinite(value) and abs(value) <= FARTHEST_PX for value in xy):
            raise BadInput(where, f"{what} has a corner at x {xy[0]:g}, y {xy[1]:g}, which no slide has", "export the outlines again")
        pairs.append(xy)
    if len(pairs) > 1 and pairs[0] == pairs[-1]:
        pairs.pop()
    return np.asarray(pairs, np.float64).reshape(-1, 2)
