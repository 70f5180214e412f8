"""What of a slide could not be read, or was not believed, and what became of it: `unread.csv`, one line for each region. Nothing is ever filled in for it."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

from hdgan.errors import DamagedArtifact
from hdgan.store.atomic import write_text
from hdgan.store.tables import csv_text

UNREAD = "unread.csv"

UNDECODABLE, COMPLAINT = "undecodable", "decoder complains"
BLANK, DISAGREES, DIFFER = "blank", "disagrees", "readers differ"
TILE_DROPPED, NOT_SEEN = "tile dropped", "overview left open"


@dataclass(frozen=True)
class Unread:
    """One region of a slide."""

    slide: str
    part: str
    """`tile`, or `overview` for what background is judged on."""
    x_px: int
    """Left edge, level-0 px."""
    y_px: int
    width_px: int
    """Level-0 px."""
    height_px: int
    level: int
    """That was read, or was to be."""
    reader: str
    """That read it."""
    what: str
    """`UNDECODABLE`, `COMPLAINT`, `BLANK`, `DISAGREES` or `DIFFER`."""
    said: str
    """The error of the reader, or what was found."""
    second: str
    """What the other reader makes of it: `reads it`, `fails`, `differs`, `agrees`; empty where it was not asked, `none` where there is none."""
    second_said: str
    outcome: str
    """`TILE_DROPPED`, `NOT_SEEN`, or from which level the overview was made instead."""

    @property
    def is_damage(self) -> bool:
        """Whether the file is known to be damaged there; else it is suspected."""
        return self.what in (UNDECODABLE, COMPLAINT)


def write_unread(path: Path, regions: Iterable[Unread]) -> None:
    """Writes `unread.csv`."""
    write_text(path, csv_text((field.name for field in fields(Unread)), (astuple(region) for region in regions)))


def read_unread(path: Path) -> tuple[Unread, ...]:
    """The regions in `unread.csv`.

    Raises:
        DamagedArtifact: it is not as we write it.
    """
    numbers = {"x_px", "y_px", "width_px", "height_px", "level"}
    names = [field.name for field in fields(Unread)]
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return tuple(
                _region({name: int(line[name]) if name in numbers else line[name] for name in names}) for line in csv.DictReader(file)
            )
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise DamagedArtifact(path, f"is no list of regions ({error!r})", "cut the tiles again with --redo") from error


def _region(values: dict[str, Any]) -> Unread:
    return Unread(**values)
