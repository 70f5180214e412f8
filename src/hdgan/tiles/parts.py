"""The tiles of one slide on the disk, until all slides are cut: `parts/<slide>/`, an archive, its `cells.csv` and its status.

A part is whole or absent, and `status.json` says what it was made from. Equal slides give equal parts, so that
joining them gives the same bytes however often the job was killed.
"""

from __future__ import annotations

import csv
import functools
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from operator import attrgetter
from pathlib import Path

from hdgan.errors import BadInput, DamagedArtifact
from hdgan.store.archive import TileArchive, TileRow, write_archive
from hdgan.store.atomic import read_json, remove_leftovers, write_json, write_text
from hdgan.store.tables import csv_text
from hdgan.tiles.code import UNKNOWN
from hdgan.tiles.cut import Cell, CutTile
from hdgan.tiles.unread import UNREAD, Unread, write_unread

PARTS = "parts"
CELLS = "cells.csv"
THUMBNAIL = "thumbnail.jpg"
"""The slide at low resolution, for the report; lies in the part before its cells."""

STATUS = "status.json"

_REMOVED_AT_ONCE = 16
_VALUES = attrgetter(*(field.name for field in fields(Cell)))
"""A cell's line; `astuple` would copy every value, of all cells of a slide."""

_OPTIONAL = ("pen", "black", "blur", "compartment")


def part_folder(out: Path, slide: str) -> Path:
    """Where the part of a slide lies."""
    return out / PARTS / slide


@dataclass(frozen=True)
class Status:
    """What a part was made from and what it holds."""

    key: str
    """Hash of settings, plan, content of the slide and version (`hdgan.tiles.work.part_key`)."""
    slide: str
    reader: str
    """What read the slide."""
    reason: str
    """Why that."""
    verdicts: dict[str, int]
    """Number of cells by what became of them."""
    sizes: dict[str, int]
    """Bytes of each file."""
    seconds: float
    version: str
    """That of hdgan."""
    store: str = ""
    """How tiles are stored, as the settings or, with `auto`, the slide have it."""
    store_reason: str = ""
    """Why so."""
    stored: dict[str, int] = field(default_factory=dict)
    """Number of tiles by their formats; those with a part that was never scanned are not copied."""
    code: str = UNKNOWN
    """Hash of the source files that cut it (`hdgan.tiles.code`)."""
    white_note: str = ""
    """What is to be said about its white point; nothing where glass was found as usual."""


def whole_part(part: Path, key: str) -> Status | None:
    """The status of a part, if it is there, made from what `key` says, and no file of it is missing or cut short."""
    try:
        status = Status(**read_json(part / STATUS))
        sizes = {name: (part / name).stat().st_size for name in status.sizes}
    except (BadInput, OSError, TypeError, AttributeError):
        return None
    return status if (status.key, status.sizes) == (key, sizes) else None


def read_status(part: Path) -> Status:
    """The status of a whole part."""
    return Status(**read_json(part / STATUS))


def white_notes(out: Path, slides: Iterable[str]) -> list[tuple[str, str]]:
    """(slide, what is to be said about its white point) of those among `slides` where it was not found as usual."""
    notes = ((slide, read_status(part_folder(out, slide)).white_note) for slide in slides)
    return [(slide, note) for slide, note in notes if note]


def write_status(part: Path, status: Status) -> None:
    """Writes `status.json`."""
    write_json(part / STATUS, asdict(status))


def write_part(part: Path, cut: Iterable[tuple[Cell, CutTile | None]], unread: Sequence[Unread] = ()) -> tuple[Cell, ...]:
    """Writes the part as its cells come; the cells. `unread` may fill on the way, and is written after them."""
    part.mkdir(parents=True, exist_ok=True)
    cells: list[Cell] = []

    def kept() -> Iterator[tuple[TileRow, bytes]]:
        for cell, tile in cut:
            cells.append(cell)
            if tile is not None:
                yield tile.row, tile.encoded

    write_archive(part, kept())
    write_unread(part / UNREAD, unread)
    write_cells(part / CELLS, cells)
    return tuple(cells)


def join_parts(
    out: Path, slides: Iterable[str], *, fold_of: Mapping[str, int], beat: Callable[[], object] = lambda: None
) -> tuple[TileRow, ...]:
    """Writes the archive of all slides in their order, each tile with its fold by its name; the rows. A tile without one is left out.

    `beat` is called before each tile; what it raises ends the work, and leaves nothing behind.
    """

    def tiles() -> Iterator[tuple[TileRow, bytes]]:
        for slide in slides:
            with closing(TileArchive(part_folder(out, slide))) as archive:
                for index, row in enumerate(archive.rows):
                    beat()
                    if row.name in fold_of:
                        yield replace(row, fold=fold_of[row.name]), archive.encoded(index)

    return write_archive(out, tiles())


@contextmanager
def without_leftovers(out: Path) -> Iterator[None]:
    """Removes at the end, however it comes, what workers that were ended left half-written. For one who has the folder for himself."""
    try:
        yield
    finally:
        remove_leftovers(out / PARTS)


def remove_parts(out: Path) -> None:
    """Removes all parts, some at the same time: to take files away one by one is mostly to wait for the disk."""
    remove = functools.partial(shutil.rmtree, ignore_errors=True)
    if (out / PARTS).is_dir():
        with ThreadPoolExecutor(_REMOVED_AT_ONCE) as threads:
            list(threads.map(remove, list((out / PARTS).iterdir())))
        remove(out / PARTS)


def write_cells(path: Path, cells: Iterable[Cell]) -> None:
    """Writes `cells.csv`."""
    write_text(path, csv_text((field.name for field in fields(Cell)), map(_VALUES, cells)))


def read_cells(path: Path) -> tuple[Cell, ...]:
    """The cells in `cells.csv`.

    Raises:
        DamagedArtifact: it is not as we write it.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return tuple(
                Cell(
                    slide=line["slide"],
                    x_px=int(line["x_px"]),
                    y_px=int(line["y_px"]),
                    level0_px=int(line["level0_px"]),
                    background=float(line["background"]),
                    verdict=line["verdict"],
                    **{name: float(line[name]) if line.get(name) else None for name in _OPTIONAL},
                )
                for line in csv.DictReader(file)
            )
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise DamagedArtifact(path, f"is no list of cells ({error!r})", "cut the tiles again with --redo") from error
