"""Tiles for other trainers: a StyleGAN archive of one resolution, from chosen folds."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from hdgan.errors import BadInput
from hdgan.progress import SILENT, Progress
from hdgan.slides.resample import area_resample
from hdgan.store.archive import TileArchive, TileRow
from hdgan.store.stylegan_zip import write_stylegan_zip

Label = Literal["stain", "centre", "patient", "none"]


def export_stylegan(
    archive: TileArchive,
    out: Path,
    *,
    size_px: int,
    tile_px: int,
    folds: Collection[int] | None = None,
    label: Label = "none",
    is_native: bool = False,
    progress: Progress = SILENT,
) -> int:
    """Writes the tiles of `folds` (all unless given) as square images of `size_px` to the ZIP `out`; how many images.

    Of a tile the middle `tile_px` x `tile_px` px are used (what the margin adds is left away), averaged by area to `size_px`, or with `is_native`
    cut into squares of `size_px` at the scale of the tile. `label` names the column whose values become the numbers, in the order of their names.

    Raises:
        BadInput: the size is no power of two, or more than the tiles have; a fold is empty; a tile has no value in the column.
    """
    if size_px < 4 or size_px & (size_px - 1):
        raise BadInput(out, f"images of {size_px} px", "StyleGAN takes powers of two, such as 256")
    chosen = [i for i, row in enumerate(archive.rows) if folds is None or row.fold in folds]
    absent = sorted(set(folds or ()) - {row.fold for row in archive.rows})
    if absent or not chosen:
        raise BadInput(archive.folder, f"no tile is in fold {', '.join(map(str, absent)) or 'any'}", "name folds that hold tiles")
    for i in chosen:
        if min(archive.rows[i].size_px, tile_px) < size_px:
            what = f"tile {archive.rows[i].name} has {min(archive.rows[i].size_px, tile_px)} px, fewer than the {size_px} asked for"
            raise BadInput(archive.folder, what, "ask for less: nothing is enlarged")
    rows = [archive.rows[i] for i in chosen]
    names = _names(rows, label, archive.folder)
    scale = archive.mpp * (1 if is_native else tile_px / size_px)

    def images() -> Iterator[tuple[np.ndarray, int | None]]:
        for i in chosen:
            number = names.index(getattr(archive.rows[i], label)) if label != "none" else None
            for pixels in _squares(archive.read(i), tile_px=tile_px, size_px=size_px, is_native=is_native):
                yield pixels, number
            progress.advance()

    progress.start("tiles", total=len(chosen))
    try:
        return write_stylegan_zip(out, images(), label_names=names, about={"mpp": scale})
    finally:
        progress.finish()


def _names(rows: Sequence[TileRow], label: Label, folder: Path) -> list[str]:
    if label == "none":
        return []
    names = sorted({getattr(row, label) for row in rows})
    if "" in names:
        raise BadInput(folder, f"some tiles have no {label}", "fill the column in the slide table, or export without labels")
    return names


def _squares(tile: np.ndarray, *, tile_px: int, size_px: int, is_native: bool) -> Iterator[np.ndarray]:
    """The images of one tile `[S, S, 3]`."""
    edge = min(tile_px, len(tile))
    start = (len(tile) - edge) // 2
    middle = tile[start : start + edge, start : start + edge]
    if not is_native:
        yield middle if edge == size_px else area_resample(middle, box=(0, 0, edge, edge), out_px=(size_px, size_px))
        return
    for y in range(0, edge - size_px + 1, size_px):
        for x in range(0, edge - size_px + 1, size_px):
            yield middle[y : y + size_px, x : x + size_px]
