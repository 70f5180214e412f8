"""What of the outlined regions lies in each cell: `regions.csv`, a line for each cell and class of which it holds something."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hdgan.errors import DamagedArtifact
from hdgan.slides.regions.read import Outline
from hdgan.store.atomic import write_text
from hdgan.store.tables import csv_text
from hdgan.tiles.placement import Corners, area_of_union, pieces_in

if TYPE_CHECKING:
    import shapely

REGIONS = "regions.csv"
UNNAMED = "(none)"
"""What people read in the place of an empty name."""

_HEADER = ("slide", "x_px", "y_px", "class", "area_um2", "objects")


@dataclass(frozen=True)
class Hit:
    """A class in a cell."""

    slide: str
    x_px: int
    """Left edge of the cell, level-0 px."""
    y_px: int
    """Top edge, level-0 px."""
    class_name: str
    """As written in the region file; "" for none."""
    area_um2: float
    """Of the class inside the cell, um2, rounded to 0.01; overlaps count once."""
    objects: int
    """Outlined objects of which some part lies in the cell."""


def hits_of(slide: str, cells: Corners, outlines: Sequence[Outline], *, edge_px: int, slide_mpp: float) -> tuple[Hit, ...]:
    """What each cell of `edge_px` level-0 px holds, in the order of the cells and of the names of the classes; `slide_mpp` is that of level 0."""
    found = []
    for (x, y), pieces in zip(cells, pieces_in(cells, [outline.shape for outline in outlines], edge_px=edge_px), strict=True):
        of_class: dict[str, list[shapely.Geometry]] = defaultdict(list)
        for number, piece in pieces:
            of_class[outlines[number].class_name].append(piece)
        for name in sorted(of_class):
            area = round(area_of_union(of_class[name]) * slide_mpp**2, 2)
            found.append(Hit(slide, x, y, name, area, len(of_class[name])))
    return tuple(found)


def write_hits(path: Path, hits: Iterable[Hit]) -> None:
    """Writes `regions.csv`."""
    write_text(path, csv_text(_HEADER, (astuple(hit) for hit in hits)))


def read_hits(path: Path) -> tuple[Hit, ...]:
    """The hits in `regions.csv`; none where there is no such file, because no slide had regions.

    Raises:
        DamagedArtifact: it is not as we write it.
    """
    if not path.exists():
        return ()
    try:
        with path.open(encoding="utf-8", newline="") as file:
            lines = csv.DictReader(file)
            return tuple(
                Hit(line["slide"], int(line["x_px"]), int(line["y_px"]), line["class"], float(line["area_um2"]), int(line["objects"]))
                for line in lines
            )
    except (OSError, KeyError, TypeError, ValueError, csv.Error) as error:
        raise DamagedArtifact(path, f"is no list of regions ({error!r})", "cut the tiles again with --redo") from error
