"""The regions of a slide, whatever program drew them: valid shapes in level-0 px, inside the slide, each with a class.

The format is told by the content. An outline that crosses itself is repaired by the even-odd rule; one without area is left out; one that sticks
out of the slide a little is cut at its edge. All three are noted. Far outside nothing is cut: such a file was drawn on another slide or at another scale.

QuPath shows of a slide only the part that was scanned, where the file states it (OpenSlide's bounds, of MIRAX and Leica SCN), and counts from the corner of
that part (https://github.com/qupath/qupath/issues/820).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from hdgan.errors import BadInput
from hdgan.slides.protocol import Box
from hdgan.slides.regions import geojson
from hdgan.slides.regions.drawn import Drawing, Drawings
from hdgan.store.geojson import read_bounded, shape_of
from hdgan.store.hashing import hash_bytes
from hdgan.types import Polygon

if TYPE_CHECKING:
    import shapely

SUFFIXES = (".geojson", ".geojson.gz", ".json", ".xml")
"""Endings of files that lie beside slides."""

BEYOND_SHARE = 0.05
"""How far an outline may stick out of the slide, as a share of the slide's longer edge."""

_NUM_NAMED = 5
_GZIP, _BYTE_ORDER_MARKS = b"\x1f\x8b", (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class Outline:
    """One outlined object: a polygon with its holes, in one piece."""

    number: int
    """Of its drawing in the file, from 1; several pieces of one drawing share it."""
    class_name: str
    """As written, spaces made one; "" for none."""
    shape: shapely.Polygon
    """Level-0 px, valid, inside the slide, not empty."""


@dataclass(frozen=True)
class Regions:
    """The outlines on one slide."""

    format: str
    """`qupath`, `imagescope` or `asap`."""
    content: str
    """sha256 of the file."""
    outlines: tuple[Outline, ...]
    """In the order of the file."""
    notes: tuple[str, ...] = ()
    """What was repaired, cut or left out, one line for each kind."""
    counted_from: tuple[int, int] = (0, 0)
    """Where on the slide the file has its origin, level-0 px; `outlines` are counted from the slide's own."""


def read_regions(path: Path, *, size_px: tuple[int, int], scanned: Box | None = None) -> Regions:
    """The regions in the file at `path` for a slide of `size_px` (width, height of level 0); `scanned` is the part of it that was scanned, where
    the slide states it.

    Raises:
        BadInput: it cannot be read, is of no known format, declares a document type, or has coordinates outside of the slide.
    """
    data = read_bounded(path, most_bytes=geojson.MOST_BYTES)
    name, found = _parsed(data, path)
    frame = scanned if name == "qupath" and scanned is not None else Box(0, 0, *size_px)
    outlines, notes = _shaped(found, where=path, size_px=size_px, frame=frame)
    return Regions(name, hash_bytes(data), outlines, notes, (frame.left, frame.top))


def _parsed(data: bytes, path: Path) -> tuple[str, Drawings]:
    begin = data[:4096]
    for mark in _BYTE_ORDER_MARKS:
        begin = begin.removeprefix(mark)
    begin = begin.replace(b"\0", b"").lstrip()
    if data.startswith(_GZIP) or begin.startswith((b"{", b"[")):
        return "qupath", geojson.read_geojson_regions(data, where=path)
    if begin.startswith(b"<"):
        from hdgan.slides.regions import asap, imagescope  # most runs need no XML
        from hdgan.slides.regions.xml_tree import parse_xml

        root = parse_xml(data, where=path)
        if root.tag == asap.ROOT:
            return "asap", asap.read_asap(root, where=path)
        if root.tag == imagescope.ROOT:
            return "imagescope", imagescope.read_imagescope(root, where=path)
        raise BadInput(
            path,
            f"is XML of another kind (<{root.tag[:40]}>)",
            "outlines of ImageScope begin with <Annotations>, of ASAP with <ASAP_Annotations>",
        )
    raise BadInput(path, "holds no outlines that can be read", "give QuPath GeoJSON, ImageScope XML or ASAP XML")


@dataclass
class _Notes:
    """Numbers of drawings by what was done with them."""

    repaired: list[int] = field(default_factory=list)
    cut: list[int] = field(default_factory=list)
    empty: list[int] = field(default_factory=list)

    def lines(self) -> tuple[str, ...]:
        told = (
            (self.repaired, "repaired, because they cross or touch themselves"),
            (self.cut, "cut at the edge of the slide"),
            (self.empty, "left out, because they have no area on the slide"),
        )
        return tuple(f"{_listed(numbers)} {what}" for numbers, what in told if numbers)


def _listed(numbers: Sequence[int]) -> str:
    ordered = sorted(numbers)
    named = ", ".join(str(number) for number in ordered[:_NUM_NAMED])
    more = f" and {len(ordered) - _NUM_NAMED} more" if len(ordered) > _NUM_NAMED else ""
    return f"{len(ordered)} outline{'s' if len(ordered) > 1 else ''} (number {named}{more})"


def _shaped(found: Drawings, *, where: Path, size_px: tuple[int, int], frame: Box) -> tuple[tuple[Outline, ...], tuple[str, ...]]:
    """The outlines on a slide of `size_px`, and the notes; the drawings are counted from the corner of `frame` and should lie in it."""
    import shapely

    notes = _Notes(empty=list(found.without_area))
    slide = shapely.box(0, 0, *size_px)
    outlines: list[Outline] = []
    cut_outs: dict[int, shapely.Geometry] = {}
    for drawing in found.drawings:
        shape, is_repaired = _area(drawing.polygons)
        _refuse_far(drawing, shape, frame=frame, where=where)
        if drawing.cut_out:
            key = id(drawing.cut_out)  # one tuple for all drawings of a layer
            if key not in cut_outs:
                cut_outs[key] = _area(drawing.cut_out)[0]
            shape = shapely.difference(shape, cut_outs[key])
        if frame.left or frame.top:
            shape = shapely.transform(shape, lambda corners: corners + (frame.left, frame.top))
        if not slide.covers(shape):
            shape = shapely.intersection(shape, slide)
            if not shape.is_empty:
                notes.cut.append(drawing.number)
        pieces = _pieces(shape)
        if is_repaired and pieces:
            notes.repaired.append(drawing.number)
        if not pieces:
            notes.empty.append(drawing.number)
        outlines += [Outline(drawing.number, " ".join(drawing.class_name.split()), piece) for piece in pieces]
    return tuple(outlines), notes.lines()


def _area(polygons: Sequence[Polygon]) -> tuple[shapely.Geometry, bool]:
    """The union of the polygons, and whether one had to be repaired."""
    import shapely

    found = [shape_of(polygon) for polygon in polygons]
    shapes = [shape for shape, _ in found]
    return (shapes[0] if len(shapes) == 1 else shapely.union_all(shapes)), any(is_repaired for _, is_repaired in found)


def _pieces(shape: shapely.Geometry) -> list[shapely.Polygon]:
    """The polygons with an area that a shape is made of."""
    import shapely

    parts = shapely.get_parts(shape)
    while any(part.geom_type.startswith(("Multi", "GeometryC")) for part in parts):
        parts = shapely.get_parts(parts)
    return [part for part in parts if part.geom_type == "Polygon" and part.area > 0]


def _refuse_far(drawing: Drawing, shape: shapely.Geometry, *, frame: Box, where: Path) -> None:
    if shape.is_empty:
        return
    left, top, right, bottom = shape.bounds
    width, height, beyond = frame.width, frame.height, BEYOND_SHARE * max(frame.width, frame.height)
    is_far = left < -beyond or top < -beyond or right > width + beyond or bottom > height + beyond
    if is_far:
        # Its class is not told: it may be called after a patient, and lines are kept under pseudonyms.
        of = f"part of the slide that was scanned (from x {frame.left}, y {frame.top})" if frame.left or frame.top else "slide"
        what = f"outline {drawing.number} spans x {left:.0f} to {right:.0f}, y {top:.0f} to {bottom:.0f}, outside of the {of} of {width} x {height} px"
        raise BadInput(where, what, "it belongs to another slide or scale: export the outlines of this slide in pixels of its full size")
