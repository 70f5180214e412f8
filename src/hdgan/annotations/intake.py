"""A folder of drawings becomes a list of checked masks, in memory, before anything is written.

The folder holds `<sample name>.png` or `<sample name>.geojson` (or `.geojson.gz`) for each annotated sample, perhaps `masks.json`
(name -> {"image_hash", "annotator"}), `classes.json` (checked against the class map in use) and marks of blends
(`blends.py`). Format: docs/formats/annotations.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdgan.annotations.audit import count_pixels
from hdgan.annotations.blends import collect_blends, drawn_blend, read_blend
from hdgan.annotations.config import DrawOrder
from hdgan.annotations.corrections import Correction, CorrectionSource, correct
from hdgan.annotations.drawings import drawings_in, refuse_unread_outlines
from hdgan.annotations.geojson import SUFFIXES, check_image, read_geojson
from hdgan.annotations.masks import check_hashes, read_index_mask
from hdgan.annotations.regions import ClassNames, paint
from hdgan.annotations.smoothed import Meetings, meetings
from hdgan.errors import BadInput, BadMask, DamagedArtifact
from hdgan.labels import IGNORE, ClassMap, read_class_map
from hdgan.progress import SILENT, Progress, track
from hdgan.store.atomic import encode_png, read_json
from hdgan.store.bank import SampleBank
from hdgan.store.hashing import hash_array, hash_file, hash_json

SIDECAR = "masks.json"
CLASSES = "classes.json"


@dataclass(frozen=True)
class Source:
    """What lies in the folder: the drawing of each name, and what the sidecar says of it."""

    folder: Path
    drawings: Mapping[str, Path]
    image_hashes: Mapping[str, str]
    annotators: Mapping[str, str]
    blends: Mapping[str, Path]
    content_hash: str
    """Changes with any byte that is read."""


@dataclass(frozen=True)
class CheckedMask:
    """One mask that fits: PNG bytes, hashes, int64 pixel counts."""

    name: str
    source: Path
    png: bytes
    mask_hash: str
    image_hash: str
    annotator: str
    pixels: NDArray[np.int64]
    ignored: int
    blend: NDArray[np.uint8] | None = None
    """Marks of blends as they are stored, `[H, W]`, where there are any."""
    blend_source: Path | None = None
    """The file that they were drawn in."""
    correction: Correction | None = None
    """Where somebody looked at the mask that was proposed."""
    meetings: Meetings | None = None
    """Of classes, in a mask that was painted; None of outlines, which have no smooth edges."""

    @property
    def drawn_hash(self) -> str:
        """Of the mask as it lay in the folder, before any correction."""
        return self.mask_hash if self.correction is None else hash_array(self.correction.proposal)


@dataclass(frozen=True)
class Reading:
    """How drawings are read: class names, background of GeoJSON (a mask value), its drawing order."""

    names: ClassNames
    background: int = IGNORE
    order: DrawOrder = "area"


def collect(folder: Path, *, known: tuple[str, ...], classes: ClassMap) -> Source:
    """The drawings in `folder` of the samples called `known`.

    Raises:
        BadInput: there is none, a file is of no sample, a sample has two, or a sidecar does not fit.
    """
    if not folder.is_dir():
        raise BadInput(folder, "no such folder of masks", "give the folder that holds the annotated masks")
    refuse_unread_outlines(folder, known=known)
    drawings: dict[str, Path] = {}
    for name, path in drawings_in(folder, suffixes=(".png", *SUFFIXES), refusal=_of_another_type):
        if name not in known:
            raise BadMask(path, f"no sample is called {name!r}", f"they are {known[0]} to {known[-1]}")
        drawings[name] = path
    if not drawings:
        raise BadInput(folder, "holds no masks", "put <sample name>.png or .geojson files there")
    image_hashes, annotators = _sidecar(folder / SIDECAR, tuple(drawings))
    if (folder / CLASSES).exists() and read_class_map(folder / CLASSES).names != classes.names:
        found = ", ".join(read_class_map(folder / CLASSES).names)
        raise BadMask(folder / CLASSES, f"the masks were drawn with the classes {found}", f"this run has {', '.join(classes.names)}")
    hashes = {path.name: hash_file(path) for path in drawings.values()}
    blends = collect_blends(folder, tuple(drawings))
    read: dict[str, Any] = {"drawings": hashes, "image_hashes": image_hashes, "annotators": annotators}
    if blends:  # without any, an import is known by what it always was
        read["blends"] = {path.name: hash_file(path) for path in blends.values()}
    return Source(folder, drawings, image_hashes, annotators, blends, hash_json(read))


def check_all(
    source: Source,
    bank: SampleBank,
    *,
    reading: Reading,
    annotator: str,
    corrections: CorrectionSource | None = None,
    corrector: str = "unnamed",
    progress: Progress = SILENT,
) -> Iterator[CheckedMask]:
    """Every drawing of `source` as a mask that fits its sample, by name, with what `corrections` paint over it.

    `annotator` drew and `corrector` corrected those of which the sidecars name nobody.

    Raises:
        BadMask: the first drawing or correction that does not fit.
        DamagedArtifact: a sample's image no longer has the pixels that were drawn.
    """
    rows = {name: bank.by_name(name) for name in source.drawings}
    check_hashes(source.image_hashes, {name: row.image_hash for name, row in rows.items()}, where=source.folder / SIDECAR)
    names = sorted(source.drawings)
    for name in track(names, total=len(names), label="check masks", progress=progress):
        path, row = source.drawings[name], rows[name]
        image = bank.image(row.index)
        if hash_array(image) != row.image_hash:
            raise DamagedArtifact(bank.folder, f"image {name} has changed since it was drawn", "draw the samples again, or restore it")
        mask = read_drawing(path, reading=reading, shape=image.shape[:2], name=name, image_hash=row.image_hash)
        drawn_by = source.annotators.get(name, annotator)
        if np.all(mask == IGNORE):
            raise BadMask(path, "has no labelled pixel", "annotate it or take it out of the folder")
        met = None if path.name.endswith(SUFFIXES) else meetings(mask)
        correction = None
        if corrections is not None:
            who = {"proposer": drawn_by, "corrector": corrector}
            correction = correct(corrections, name, mask, names=reading.names, image_hash=row.image_hash, **who)
        if correction is not None:
            mask, drawn_by = correction.mask, correction.annotator
        pixels, ignored = count_pixels(mask, reading.names.classes)
        marked = source.blends.get(name)
        blend = None if marked is None else drawn_blend(read_blend(marked, shape=mask.shape))
        yield CheckedMask(
            name, path, encode_png(mask), hash_array(mask), row.image_hash, drawn_by, pixels, ignored, blend, marked, correction, met
        )


def read_drawing(path: Path, *, reading: Reading, shape: tuple[int, int], name: str, image_hash: str) -> NDArray[np.uint8]:
    """The mask uint8 `[H, W]` in a PNG or GeoJSON file of the sample called `name`.

    Raises:
        BadMask: it does not fit `shape` or the classes, or says that it was drawn on another image than that of `image_hash`.
        BadInput: it cannot be read.
    """
    if path.name.endswith(SUFFIXES):
        regions = read_geojson(path)
        check_image(regions, name=name, image_hash=image_hash, where=path)
        return paint(regions, reading.names, shape=shape, background=reading.background, order=reading.order, where=path)
    return read_index_mask(path, classes=reading.names.classes, shape=shape)


def _of_another_type(path: Path) -> BadMask:
    """The error for a picture that looks like a mask, but is of a format that is not read."""
    return BadMask(path, f"masks of type {path.suffix} are not read", "save it as PNG, 8-bit greyscale, value = class index")


def _sidecar(path: Path, names: tuple[str, ...]) -> tuple[dict[str, str], dict[str, str]]:
    """Image hashes and annotators by name, from `masks.json` where there is one."""
    if not path.exists():
        return {}, {}
    data = read_json(path)
    if not isinstance(data, dict):
        raise BadInput(path, "not an object of masks", 'write {"000012": {"image_hash": "...", "annotator": "..."}}')
    found: dict[str, dict[str, str]] = {"image_hash": {}, "annotator": {}}
    for name, entry in data.items():
        if name not in names:
            raise BadInput(path, f"names {name!r}, of which there is no mask", "add the mask or take the entry out")
        if not isinstance(entry, dict) or not all(key in found and isinstance(value, str) and value for key, value in entry.items()):
            raise BadInput(path, f"entry {name!r} is {entry!r}", 'its keys are "image_hash" and "annotator", their values text')
        for key, value in entry.items():
            found[key][name] = value
    return found["image_hash"], found["annotator"]
