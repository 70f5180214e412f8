"""The tile archive: `tiles.csv`, the index, and `tiles.zip`, a ZIP of stored (not compressed again) members, one for each tile.

The index says what the tiles are; the ZIP holds their pixels, in the format that the suffix of a name says (`hdgan.store.codec`), and can be
made again from the slides. A name without suffix is not in the ZIP: such a tile is read from its slide by whoever opened the archive with `unstored`.
Random access from any number of threads and processes; equal tiles give equal bytes. Format: docs/formats/tiles.md.
"""

from __future__ import annotations

import csv
import io
import os
import struct
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from operator import attrgetter
from pathlib import Path

import numpy as np

from hdgan.errors import BadInput, DamagedArtifact
from hdgan.store.atomic import replacing, write_text
from hdgan.store.codec import UNDECODABLE, decode, format_of

ARCHIVE = "tiles.zip"
INDEX = "tiles.csv"
_FIXED_DATE = (1980, 1, 1, 0, 0, 0)
_BROKEN = (OSError, EOFError, KeyError, ValueError, RuntimeError, struct.error, zlib.error, zipfile.BadZipFile)


@dataclass(frozen=True)
class TileRow:
    """One tile: where it was cut and who it belongs to. Level-0 px are those of the slide's finest level."""

    name: str
    """Member of the archive."""
    slide: str
    patient: str
    centre: str
    stain: str
    fold: int
    x_px: int
    """Left edge, level-0 px."""
    y_px: int
    """Top edge, level-0 px."""
    level0_px: int
    """Edge of the tile in level-0 px."""
    size_px: int
    """Edge of the tile as stored."""
    mpp: float
    """Scale of the tile as stored, um/px."""
    background: float
    """Share of the tile that is background, 0 to 1."""


ReadTile = Callable[[TileRow], np.ndarray]
"""Gives the pixels `[S, S, 3]` uint8 of a tile that is not stored; goes to worker processes with the archive."""


class TileArchive:
    """Tiles in the order of their rows; those that are not stored come from `unstored`."""

    def __init__(self, folder: Path, unstored: ReadTile | None = None) -> None:
        self.folder = folder
        self.rows = read_rows(folder / INDEX)
        self._unstored = unstored
        self._local = threading.local()

    def __reduce__(self) -> tuple[type[TileArchive], tuple[Path, ReadTile | None]]:
        """Worker processes get the folder and open it themselves."""
        return (TileArchive, (self.folder, self._unstored))

    def __len__(self) -> int:
        """The number of tiles."""
        return len(self.rows)

    @property
    def mpp(self) -> float:
        """The scale of the tiles, um/px.

        Raises:
            BadInput: they have several, or there is no tile.
        """
        scales = sorted({row.mpp for row in self.rows})
        if len(scales) != 1:
            raise BadInput(self.folder, f"tiles have scales {scales} um/px", "cut them again at one scale")
        return scales[0]

    def read(self, index: int) -> np.ndarray:
        """Tile number `index`, `[S, S, 3]` uint8.

        Raises:
            DamagedArtifact: the archive is broken or lacks the tile.
            BadInput: the tile is not stored, and its slide is not at hand or cannot be read.
        """
        row = self.rows[index]
        form = format_of(row.name)
        if form == "none":
            if self._unstored is None:
                remedy = "open it as `hdgan.open_run(RUN).open_tiles()`, or store the tiles: hdgan tile RUN --rebuild --format png"
                raise BadInput(self.folder, f"tile {row.name} is not stored, and the slides are not at hand", remedy)
            return self._unstored(row)
        try:
            return decode(self.encoded(index), form)
        except UNDECODABLE as error:
            raise self._damaged(index, error) from error

    def encoded(self, index: int) -> bytes:
        """Tile number `index` as it is stored; raises as `read`. Of one that is not stored: no bytes."""
        name = self.rows[index].name
        if format_of(name) == "none":
            return b""
        try:
            archive = self._zip()
            member = archive.getinfo(name)
            if member.compress_type != zipfile.ZIP_STORED:
                raise zipfile.BadZipFile("a member is compressed; ours are stored")
            return archive.read(member)
        except _BROKEN as error:
            raise self._damaged(index, error) from error

    def close(self) -> None:
        """Closes this thread's file; the next read opens it again."""
        held = getattr(self._local, "held", None)
        if held:
            held[1].close()
            self._local.held = None

    def _damaged(self, index: int, error: Exception) -> DamagedArtifact:
        what = f"tile {self.rows[index].name} cannot be read ({error})"
        return DamagedArtifact(self.folder / ARCHIVE, what, "store the tiles again: hdgan tile RUN --rebuild")

    def _zip(self) -> zipfile.ZipFile:
        """One open file for each thread of each process: a shared one would mix up positions after a fork."""
        held: tuple[int, zipfile.ZipFile] | None = getattr(self._local, "held", None)
        if held is None or held[0] != os.getpid():
            held = (os.getpid(), zipfile.ZipFile(self.folder / ARCHIVE))
            self._local.held = held
        return held[1]


def write_archive(folder: Path, tiles: Iterable[tuple[TileRow, bytes]]) -> tuple[TileRow, ...]:
    """Writes archive and index of encoded tiles, in their order; the rows. A tile without bytes stands in the index alone.

    The index comes last: without it there is no archive.
    """
    rows: list[TileRow] = []
    with replacing(folder / ARCHIVE) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for row, encoded in tiles:
            rows.append(row)
            if encoded:
                archive.writestr(plain_member(row.name), encoded)
    write_rows(folder / INDEX, rows)
    return tuple(rows)


def plain_member(name: str) -> zipfile.ZipInfo:
    """A member called `name` that is the same whenever and wherever it is written."""
    member = zipfile.ZipInfo(name, _FIXED_DATE)
    member.external_attr = 0o644 << 16
    return member


def write_rows(path: Path, rows: Iterable[TileRow]) -> None:
    """Writes the index."""
    buffer = io.StringIO()
    names = [field.name for field in fields(TileRow)]
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(map(attrgetter(*names), rows))
    write_text(path, buffer.getvalue())


def read_rows(path: Path) -> tuple[TileRow, ...]:
    """The rows of an index.

    Raises:
        BadInput: it is missing.
        DamagedArtifact: a column or value is not as we write it.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return tuple(_row(record) for record in csv.DictReader(file))
    except OSError as error:
        raise BadInput(path, f"cannot be read ({error})", "run the tiles stage first") from error
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedArtifact(path, f"is no tile index ({error!r})", "cut the tiles again with --redo") from error


def _row(record: dict[str, str]) -> TileRow:
    kinds = {"str": str, "int": int, "float": float}
    return TileRow(**{field.name: kinds[str(field.type)](record[field.name]) for field in fields(TileRow)})
