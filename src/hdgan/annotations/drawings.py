"""The drawings that lie in a folder, each named after the sample that it is of."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from hdgan.errors import BadMask

PICTURES = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".npy")
"""What a mask may have been saved as: where it is not read, it is refused, since it would be missed."""

OUTLINES = (".json", ".json.gz", ".xml", ".xml.gz")
"""What outlines may have been saved as by programs other than QuPath, or under another ending."""


class Drawing(NamedTuple):
    """One file, and the name of the sample that it is of."""

    name: str
    path: Path


def drawings_in(folder: Path, *, suffixes: tuple[str, ...], refusal: Callable[[Path], BadMask]) -> Iterator[Drawing]:
    """The files in `folder` whose names end in one of `suffixes`, in lower case or upper, by their names; one for each sample.

    Hidden files, folders and what is neither drawing nor picture are passed over. `refusal` gives the error for a picture of another type. Whether
    there is such a sample is for the caller to say, drawing by drawing, so that the first file that does not fit is the one that is told.

    Raises:
        BadMask: a picture of another type, or the second drawing of a sample.
    """
    seen: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.is_dir():
            continue
        suffix = next((suffix for suffix in suffixes if path.name.lower().endswith(suffix)), None)
        if suffix is None:
            if path.suffix.lower() in PICTURES:
                raise refusal(path)
            continue
        name = path.name[: -len(suffix)]
        if name in seen:
            raise BadMask(path, f"{seen[name].name} is of the same sample", "keep one of them")
        seen[name] = path
        yield Drawing(name, path)


def refuse_unread_outlines(folder: Path, *, known: Collection[str]) -> None:
    """Passes unless a file in `folder` is called like one of the samples `known`, and is of a type of outlines that is not read.

    It would be missed: LabelMe writes JSON, ImageScope and ASAP XML, and GeoJSON may have been saved with the ending `.json`.

    Raises:
        BadMask: the first such file.
    """
    for path in sorted(folder.iterdir()):
        suffix = next((suffix for suffix in OUTLINES if path.name.lower().endswith(suffix)), None)
        if suffix is not None and path.is_file() and path.name[: -len(suffix)] in known:
            name = path.name[: -len(suffix)]
            remedy = f"save outlines as GeoJSON, {name}.geojson, as QuPath exports them, or the mask as {name}.png"
            raise BadMask(path, f"outlines of type {suffix} are not read", remedy)
