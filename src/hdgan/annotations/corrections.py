"""Corrections: regions that a person paints over proposed masks, kept apart from the proposals.

A folder holds `<sample>.geojson` (or `.geojson.gz`) for each proposal that somebody looked at. Its regions go over the proposal in the order of the
file, the later over the earlier; pixels that none covers stay as proposed. A file without features says: looked at, nothing to change.
Beside them perhaps `corrections.json`, name -> {"image_hash", "annotator", "proposal_hash"}. Format: docs/formats/annotations.md.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdgan.annotations.drawings import drawings_in, refuse_unread_outlines
from hdgan.annotations.geojson import SUFFIXES, check_image, read_geojson
from hdgan.annotations.regions import ClassNames, paint_over
from hdgan.errors import BadInput, BadMask
from hdgan.labels import IGNORE, ClassMap
from hdgan.store.atomic import read_json
from hdgan.store.hashing import hash_array, hash_file, hash_json

SIDECAR = "corrections.json"
IGNORED = "ignored"
"""What the tables call pixels of value 255."""

_MOST_NAMED = 6
_KEYS = ("image_hash", "annotator", "proposal_hash")


@dataclass(frozen=True)
class CorrectionSource:
    """What lies in a folder of corrections: the drawing of each name, and what the sidecar says of it."""

    folder: Path
    drawings: Mapping[str, Path]
    notes: Mapping[str, Mapping[str, str]]
    content_hash: str
    """Changes with any byte that is read."""


@dataclass(frozen=True)
class Correction:
    """One proposal that was looked at: masks uint8 `[H, W]` before and after, and who made each."""

    source: Path
    proposal: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    proposer: str
    corrector: str

    @property
    def changed(self) -> int:
        """Pixels whose class is another than was proposed."""
        return int(np.count_nonzero(self.proposal != self.mask))

    @property
    def annotator(self) -> str:
        """Both, as it stands with the mask."""
        how = f"corrected by {self.corrector}" if self.changed else f"looked at by {self.corrector}, unchanged"
        return f"{self.proposer}; {how}"

    def changes(self, classes: ClassMap) -> dict[str, dict[str, int]]:
        """Changed pixels: class as proposed -> class now -> number; only what occurs."""
        names = {**dict(enumerate(classes.names)), IGNORE: IGNORED}
        counts = np.bincount(self.proposal.ravel().astype(np.int64) * 256 + self.mask.ravel(), minlength=256 * 256).reshape(256, 256)
        table: dict[str, dict[str, int]] = {}
        for before, after in np.argwhere(counts).tolist():
            if before != after:
                table.setdefault(names[before], {})[names[after]] = int(counts[before, after])
        return table


def collect_corrections(folder: Path, *, proposed: Collection[str], known: Collection[str]) -> CorrectionSource | None:
    """The corrections in `folder` of the proposals called `proposed`, samples all of which are called `known`; None where it holds none.

    Raises:
        BadInput: there is no such folder, or its sidecar does not fit.
        BadMask: a file is of no proposal, or is no outlines; a proposal has two.
    """
    if not folder.is_dir():
        raise BadInput(folder, "no such folder of corrections", "give the folder that holds <sample name>.geojson files")
    refuse_unread_outlines(folder, known=known)
    drawings: dict[str, Path] = {}
    for name, path in drawings_in(folder, suffixes=SUFFIXES, refusal=_no_outlines):
        if name not in known:
            raise BadMask(path, f"no sample is called {name!r}", f"samples are called like {min(known)}")
        if name not in proposed:
            raise BadMask(
                path, f"corrects sample {name}, for which no mask is proposed", "import it as a mask, or take it out of the folder"
            )
        drawings[name] = path
    if not drawings:
        return None
    notes = _notes(folder / SIDECAR, known)
    # What the sidecar says of proposals that nobody corrected yet is not read any further.
    used = {name: notes[name] for name in drawings if name in notes}
    hashes = {path.name: hash_file(path) for path in drawings.values()}
    return CorrectionSource(folder, drawings, used, hash_json({"drawings": hashes, "notes": used}))


def correct(
    source: CorrectionSource, name: str, proposal: NDArray[np.uint8], *, names: ClassNames, image_hash: str, proposer: str, corrector: str
) -> Correction | None:
    """The correction of the proposal `[H, W]` called `name`, by `corrector` where the sidecar names nobody; None where nobody looked at it.

    Raises:
        BadMask: it was drawn on another image or another proposal, a class is unknown, or a region lies outside of the image.
        BadInput: it cannot be read.
    """
    path, note = source.drawings.get(name), source.notes.get(name, {})
    if path is None:
        return None
    for key, actual, what in (("image_hash", image_hash, "image"), ("proposal_hash", hash_array(proposal), "proposal")):
        if note.get(key, actual) != actual:
            found = (
                f"{name} was corrected on {'an' if key == 'image_hash' else 'a'} {what} with hash {note[key][:12]}, it has {actual[:12]}"
            )
            raise BadMask(source.folder / SIDECAR, found, f"look at the {what} again and correct what is there now")
    regions = read_geojson(path)
    check_image(regions, name=name, image_hash=image_hash, where=path)
    mask = paint_over(proposal, regions, names, order="file", where=path)
    if np.all(mask == IGNORE):
        raise BadMask(path, "leaves no labelled pixel", "take the mask itself out of its folder instead")
    return Correction(path, proposal, mask, proposer, note.get("annotator", corrector))


def table(corrections: Mapping[str, Correction], classes: ClassMap, *, not_looked_at: Collection[str]) -> dict[str, Any]:
    """Plain data, as stored in `corrections.json`: each image, and all together."""
    images, totals = {}, dict[str, dict[str, int]]()
    for name, found in sorted(corrections.items()):
        changes = found.changes(classes)
        images[name] = {
            "proposer": found.proposer,
            "corrector": found.corrector,
            "changed": found.changed,
            "share": found.changed / found.mask.size,
            "changes": changes,
        }
        for before, row in changes.items():
            for after, count in row.items():
                totals.setdefault(before, {})[after] = totals.get(before, {}).get(after, 0) + count
    pixels, changed = sum(found.mask.size for found in corrections.values()), sum(found.changed for found in corrections.values())
    total = {
        "images": len(images),
        "images_changed": sum(found.changed > 0 for found in corrections.values()),
        "pixels": pixels,
        "changed": changed,
        "share": changed / pixels if pixels else 0.0,
        "changes": totals,
    }
    return {"schema": 1, "images": images, "totals": total, "not_looked_at": sorted(not_looked_at)}


def told(data: Mapping[str, Any]) -> list[str]:
    """What `table` says, in words: a line for each image, and one for all."""
    lines = []
    for name, row in data["images"].items():
        lines.append(f"{name}: {row['changed']:,} px changed ({100 * row['share']:.1f} %) by {row['corrector']}{_listed(row['changes'])}")
    total = data["totals"]
    lines.append(
        f"corrections: {total['changed']:,} of {total['pixels']:,} px changed ({100 * total['share']:.1f} %), "
        f"in {total['images_changed']} of {total['images']} images that were looked at{_listed(total['changes'])}"
    )
    left = data["not_looked_at"]
    if left:
        more = ", ..." if len(left) > _MOST_NAMED else ""
        lines.append(f"corrections: nobody has looked at {len(left)} of the proposals: {', '.join(left[:_MOST_NAMED])}{more}")
    return lines


def _listed(changes: Mapping[str, Mapping[str, int]]) -> str:
    rows = sorted(((count, before, after) for before, row in changes.items() for after, count in row.items()), reverse=True)
    return "".join(f"{', ' if number else ': '}{before} -> {after} {count:,}" for number, (count, before, after) in enumerate(rows))


def _no_outlines(path: Path) -> BadMask:
    """The error for a picture among the corrections, which would be missed."""
    return BadMask(path, "corrections are outlines, no pictures", "draw them as GeoJSON, or import the whole mask instead of the proposal")


def _notes(path: Path, known: Collection[str]) -> dict[str, dict[str, str]]:
    """The sidecar's entries by name; empty without one."""
    if not path.exists():
        return {}
    data = read_json(path)
    if not isinstance(data, dict):
        raise BadInput(path, "not an object of corrections", 'write {"000012": {"image_hash": "...", "annotator": "..."}}')
    for name, entry in data.items():
        if name not in known:
            raise BadInput(path, f"names {name!r}, and no sample is called so", "take the entry out")
        if not isinstance(entry, dict) or not all(key in _KEYS and isinstance(value, str) and value for key, value in entry.items()):
            raise BadInput(path, f"entry {name!r} is {entry!r}", f"its keys are {', '.join(_KEYS)}, their values text")
    return data
