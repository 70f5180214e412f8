"""Where tiles lie by outlined regions: on the cells of the grid that hold enough of them, or around each object.

Frame: level-0 px, `xy`; a cell is the square of `edge_px` from its upper left corner. Draws depend on the run's seed, the slide's name and the
object's class and shape alone, so that neither another slide nor another object moves a tile.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hdgan.errors import BadConfig
from hdgan.randomness import stream
from hdgan.slides.regions.classes import is_of_class
from hdgan.slides.regions.read import Outline
from hdgan.store.hashing import hash_bytes
from hdgan.tiles.placement_config import PlacementConfig

if TYPE_CHECKING:
    import shapely

Corners = tuple[tuple[int, int], ...]


def chosen(outlines: Sequence[Outline], placement: PlacementConfig) -> tuple[Outline, ...]:
    """The outlines of the classes that count."""

    def counts(name: str) -> bool:
        is_wanted = is_of_class(name, placement.classes) if placement.classes else not name.endswith("*")
        return is_wanted and not is_of_class(name, placement.not_classes)

    return tuple(outline for outline in outlines if counts(outline.class_name))


def intersecting(cells: Corners, outlines: Sequence[Outline], placement: PlacementConfig, *, edge_px: int, slide_mpp: float) -> Corners:
    """The cells in which the outlines, taken together, have an area, and as much as is asked for; `slide_mpp` is that of level 0."""
    areas = covered_px2(cells, [outline.shape for outline in outlines], edge_px=edge_px)
    is_enough = (areas > 0) & (areas * slide_mpp**2 >= placement.min_area_um2) & (areas >= placement.min_share * edge_px**2)
    return tuple(cell for cell, is_kept in zip(cells, is_enough, strict=True) if is_kept)


def covered_px2(cells: Corners, shapes: Sequence[shapely.Geometry], *, edge_px: int) -> NDArray[np.float64]:
    """The area of the union of the shapes in each cell, float64 `[N]`, level-0 px squared."""
    found = np.zeros(len(cells), np.float64)
    for index, pieces in enumerate(pieces_in(cells, shapes, edge_px=edge_px)):
        found[index] = area_of_union([piece for _, piece in pieces])
    return found


def pieces_in(cells: Corners, shapes: Sequence[shapely.Geometry], *, edge_px: int) -> list[list[tuple[int, shapely.Geometry]]]:
    """For each cell the numbers of the shapes that have an area in it, in order, each with its part in the cell."""
    found: list[list[tuple[int, shapely.Geometry]]] = [[] for _ in cells]
    if not cells or not shapes:
        return found
    import shapely  # most slides have no outlines

    corners = np.array(cells, np.float64).reshape(-1, 2)
    boxes = shapely.box(corners[:, 0], corners[:, 1], corners[:, 0] + edge_px, corners[:, 1] + edge_px)
    held = np.asarray(shapes, dtype=object)
    cell_of, shape_of = shapely.STRtree(held).query(boxes, predicate="intersects")
    order = np.lexsort((shape_of, cell_of))
    cell_of, shape_of = cell_of[order], shape_of[order]
    shapely.prepare(held)
    is_full = shapely.covers(
        held[shape_of], boxes[cell_of]
    )  # most cells of a large outline: cutting each from it would take as long as it has corners
    parts = boxes[cell_of]
    parts[~is_full] = shapely.intersection(held[shape_of[~is_full]], parts[~is_full])
    for cell, shape, part in zip(cell_of.tolist(), shape_of.tolist(), parts, strict=True):
        if part.area > 0:
            found[cell].append((shape, part))
    return found


def area_of_union(shapes: Sequence[shapely.Geometry]) -> float:
    """The area that the shapes cover; where they overlap it counts once."""
    if not shapes:
        return 0.0
    import shapely

    return float(shapes[0].area if len(shapes) == 1 else shapely.union_all(list(shapes)).area)


def centred(
    outlines: Sequence[Outline],
    placement: PlacementConfig,
    *,
    edge_px: int,
    size_px: tuple[int, int],
    slide_mpp: float,
    slide: str,
    seed: int,
) -> Corners:
    """The corners of tiles around the centroid of each outline, row by row, no corner twice; inside the slide of `size_px`.

    Raises:
        BadConfig: the jitter could move a tile off its object.
    """
    jitter_px = placement.jitter_um / slide_mpp
    if jitter_px > edge_px / 2 - 1:
        most = (edge_px / 2 - 1) * slide_mpp
        raise BadConfig(
            "tiles.placement.jitter_um", f"{placement.jitter_um:g} um would move a tile off its object", f"give at most {most:.4g}"
        )
    if edge_px > min(size_px):
        return ()
    last = np.array(size_px) - edge_px
    found: set[tuple[int, int]] = set()
    for outline in outlines:
        if outline.shape.area * slide_mpp**2 < placement.min_area_um2:
            continue
        middle = np.array([outline.shape.centroid.x, outline.shape.centroid.y])
        for number in range(placement.tiles_around(outline.class_name)):
            moved = middle + _draw(outline, slide=slide, seed=seed, number=number) * jitter_px
            x, y = np.clip(np.round(moved - edge_px / 2), 0, last).astype(int).tolist()
            found.add((x, y))
    return in_rows(found)


def in_rows(cells: Iterable[tuple[int, int]]) -> Corners:
    """The corners row by row, from left to right."""
    return tuple(sorted(cells, key=lambda xy: (xy[1], xy[0])))


def _draw(outline: Outline, *, slide: str, seed: int, number: int) -> NDArray[np.float64]:
    """Two numbers from -1 to 1."""
    import shapely

    identity = hash_bytes(outline.class_name.encode() + b"\0" + shapely.normalize(outline.shape).wkb)
    return stream(seed, f"tiles.placement.{slide}.{identity}", number).uniform(-1, 1, 2)
