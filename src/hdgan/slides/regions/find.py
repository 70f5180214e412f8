"""Which region file belongs to which slide, where the slide table does not say it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hdgan.errors import BadInput
from hdgan.slides.regions.read import SUFFIXES
from hdgan.slides.table import SlideEntry


def with_regions(entries: Sequence[SlideEntry], asked: str, *, base: Path) -> tuple[SlideEntry, ...]:
    """The slides, each that names no region file with the one found for it; a slide without one stays as it is.

    `asked` is an ending such as ".geojson" (the file beside the slide that is called like it, with this ending in the place of the slide's own)
    or a folder (relative to `base`; the file in it that is called like the slide, with one of `SUFFIXES`).

    Raises:
        BadInput: the folder is missing, holds several files for a slide, or two slides would share one.
    """
    if _is_ending(asked):
        return tuple(_beside(entry, asked) for entry in entries)
    folder = base / Path(asked).expanduser()
    if not folder.is_dir():
        raise BadInput(
            "tiles.regions", f"{folder} is no folder", 'name a folder, or an ending such as ".geojson" of files beside the slides'
        )
    loose = [entry for entry in entries if entry.regions is None]
    times = Counter(entry.path.stem for entry in loose)
    return tuple(
        entry if entry.regions is not None else _in_folder(entry, folder, is_shared=times[entry.path.stem] > 1) for entry in entries
    )


def _is_ending(asked: str) -> bool:
    return asked.startswith(".") and asked.strip(".") != "" and not any(mark in asked for mark in "/\\")


def _beside(entry: SlideEntry, ending: str) -> SlideEntry:
    path = entry.path.with_name(f"{entry.path.stem}{ending}")
    return replace(entry, regions=path) if entry.regions is None and path != entry.path and path.is_file() else entry


def _in_folder(entry: SlideEntry, folder: Path, *, is_shared: bool) -> SlideEntry:
    found = [path for suffix in SUFFIXES if (path := folder / f"{entry.path.stem}{suffix}").is_file()]
    if found and is_shared:
        raise BadInput(found[0], "could belong to several slides of this name", "say which in the column `regions` of a slide table")
    if len(found) > 1:
        what = f"holds {len(found)} region files for {entry.path.name}: {', '.join(path.name for path in found)}"
        raise BadInput(folder, what, "keep one, or name it in the column `regions` of a slide table")
    return replace(entry, regions=found[0]) if found else entry
