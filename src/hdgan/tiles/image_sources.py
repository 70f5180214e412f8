"""Which images there are, whose they are, and their bytes: folders, ZIPs, single files, and tables.

Of a folder the first folder below it names the patient, unless images lie in it directly; in a ZIP, where folders are numbers as a rule, and for
single files each image counts as a patient.
A table (see `hdgan.slides.table`) says it better; its `path` may name a member of a ZIP: `set.zip/00000/img00000000.png`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hdgan.errors import BadInput
from hdgan.slides.content import content_hash
from hdgan.slides.table import read_table
from hdgan.store.hashing import hash_bytes, hash_json
from hdgan.store.stylegan_zip import ImageZip
from hdgan.tiles.image_pixels import SUFFIXES

_UNSAFE = re.compile(r"[^\w.+-]+")


@dataclass(frozen=True)
class ImageEntry:
    """One image, before it is read."""

    name: str
    """Unique, and fit for a file name."""
    path: Path
    """Its file, or the ZIP that it is in."""
    member: str = ""
    """Its name in the ZIP."""
    patient: str = ""
    centre: str = ""
    stain: str = ""
    diagnosis: str = ""
    mpp: float | None = None
    """um/px as a table gives it."""

    @property
    def where(self) -> str:
        """What errors call it."""
        return f"{self.path}/{self.member}" if self.member else str(self.path)


def find_images(sources: Sequence[str], *, base: Path, labels: str) -> tuple[ImageEntry, ...]:
    """The images that `sources` name, in the order of their names; `labels` is the column for those of a `dataset.json`.

    Raises:
        BadInput: a source is missing or holds no image, or two images have the same name.
    """
    found = [entry for source in sources for entry in _of_source(base / Path(source).expanduser(), labels)]
    times = Counter(entry.name.lower() for entry in found)
    found = [replace(e, name=f"{_safe(e.path.stem)}-{e.name}") if e.member and times[e.name.lower()] > 1 else e for e in found]
    times = Counter(entry.name.lower() for entry in found)
    twice = next((entry for entry in found if times[entry.name.lower()] > 1), None)
    if twice is not None:
        raise BadInput(
            twice.where,
            f"there are {times[twice.name.lower()]} images called {twice.name}",
            "name them apart in the column `slide` of a table",
        )
    return tuple(sorted((replace(entry, patient=entry.patient or entry.name) for entry in found), key=lambda entry: entry.name))


class ImageBytes:
    """Reads the bytes of images; ZIPs stay open until `close`."""

    def __init__(self) -> None:
        self._zips: dict[Path, ImageZip] = {}

    def read(self, entry: ImageEntry) -> bytes:
        """The bytes of an image.

        Raises:
            BadInput: they cannot be read.
        """
        if entry.member:
            return self._zip(entry.path).read(entry.member)
        try:
            return entry.path.read_bytes()
        except OSError as error:
            raise BadInput(entry.path, f"cannot be read ({error})", "check the path") from error

    def inputs(self, entries: Sequence[ImageEntry]) -> dict[str, str]:
        """Content hashes: of each ZIP one, of all loose files together one, and of what a table says."""
        zips = sorted({entry.path for entry in entries if entry.member})
        inputs = {f"images {number} {path.name}": content_hash(path) for number, path in enumerate(zips)}
        loose = [[entry.name, hash_bytes(self.read(entry))] for entry in entries if not entry.member]
        said: list[Any] = [[entry.name, entry.member, entry.patient, entry.centre, entry.stain, entry.mpp] for entry in entries]
        diagnoses = [entry.diagnosis for entry in entries]
        if any(diagnoses):  # only then, so that what was made from tables without them stays current
            said.append(diagnoses)
        return inputs | ({"images": hash_json(loose)} if loose else {}) | {"image table": hash_json(said)}

    def close(self) -> None:
        """Lets go of the ZIPs."""
        for archive in self._zips.values():
            archive.close()
        self._zips.clear()

    def _zip(self, path: Path) -> ImageZip:
        if path not in self._zips:
            self._zips[path] = ImageZip(path)
        return self._zips[path]


def _of_source(path: Path, labels: str) -> Iterator[ImageEntry]:
    if path.is_dir():
        yield from _in_folder(path)
    elif path.suffix.lower() == ".zip":
        yield from _in_zip(path, labels)
    elif path.suffix.lower() == ".csv":
        yield from _in_table(path)
    elif path.is_file() and path.suffix.lower() in SUFFIXES:
        yield ImageEntry(_safe(path.stem), path)
    else:
        raise BadInput(path, "is no folder, ZIP, table or image", f"images end in {', '.join(SUFFIXES)}")


def _in_folder(folder: Path) -> Iterator[ImageEntry]:
    files = sorted(
        file
        for file in folder.rglob("*")
        if file.suffix.lower() in SUFFIXES and file.is_file() and not _is_hidden(file.relative_to(folder).parts)
    )
    if not files:
        raise BadInput(folder, "holds no image", f"images end in {', '.join(SUFFIXES)}")
    for file in files:
        inside = file.relative_to(folder)
        yield ImageEntry(_safe(str(inside.with_suffix(""))), file, patient=inside.parts[0] if len(inside.parts) > 1 else "")


def _in_zip(path: Path, labels: str) -> Iterator[ImageEntry]:
    archive = ImageZip(path)
    try:
        of_member = archive.labels() if labels != "none" else {}
        members = [name for name in archive.members if Path(name).suffix.lower() in SUFFIXES and not _is_hidden(Path(name).parts)]
    finally:
        archive.close()
    if not members:
        raise BadInput(path, "holds no image", f"images end in {', '.join(SUFFIXES)}")
    for member in members:
        entry = ImageEntry(_safe(str(Path(member).with_suffix(""))), path, member)
        if member in of_member:
            said = of_member[member]
            entry = {
                "stain": replace(entry, stain=said),
                "centre": replace(entry, centre=said),
                "patient": replace(entry, patient=said),
            }[labels]
        yield entry


def _in_table(path: Path) -> Iterator[ImageEntry]:
    for line in read_table(path):
        outer = next((parent for parent in line.path.parents if parent.suffix.lower() == ".zip" and parent.is_file()), None)
        file, member = (line.path, "") if outer is None else (outer, line.path.relative_to(outer).as_posix())
        yield ImageEntry(line.name, file, member, line.patient, line.centre, line.stain, line.diagnosis, line.mpp)


def _is_hidden(steps: Sequence[str]) -> bool:
    """Whether a file or a folder above it is called as hidden: rests of browsers and notebooks, and what a Mac packs beside each file (`__MACOSX/._a.png`)."""
    return any(step.startswith(".") for step in steps)


def _safe(name: str) -> str:
    return _UNSAFE.sub("_", name).lstrip(".") or "image"
