"""The finished annotations of a run, read-only: masks, classes, who drew them, and the split."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdgan.annotations.blends import FOLDER as BLENDS
from hdgan.annotations.blends import drawn_blend, read_blend
from hdgan.annotations.masks import read_index_mask
from hdgan.annotations.split import Split, parts_of
from hdgan.errors import BadInput, DamagedArtifact
from hdgan.labels import read_class_map
from hdgan.store.atomic import read_json
from hdgan.store.hashing import hash_array

ANNOTATIONS = "annotations.json"
SPLIT = "split.json"
CLASSES = "classes.json"
MASKS = "masks"
PROPOSALS = "proposals"
CORRECTIONS = "corrections"
CHANGES = "corrections.json"
SCHEMA = 1


@dataclass(frozen=True)
class AnnotationRow:
    """One annotated sample; hashes are those of the arrays, not of the files."""

    name: str
    mask_hash: str
    image_hash: str
    annotator: str
    blend_hash: str | None = None
    """Of the marks of blends, where there are any."""
    proposer: str | None = None
    """Who proposed the mask, where somebody else looked at it."""
    proposal_hash: str | None = None
    """Of the mask that was proposed, where somebody else looked at it."""
    is_suggested: bool = False
    """Whether a model chose the sample, which only trains then."""

    def to_json(self) -> dict[str, Any]:
        """Plain data, without what there is not."""
        return {name: value for name, value in asdict(self).items() if value is not None and value is not False}


class AnnotationSet:
    """The annotations in a stage folder."""

    def __init__(self, folder: Path) -> None:
        """Reads the tables; masks are read when asked for.

        Raises:
            BadInput: the stage has not been run, or was written by another version.
            DamagedArtifact: a table is not what we wrote.
        """
        self.folder = folder
        if not (folder / CLASSES).exists():
            raise BadInput(folder, "holds no masks", "annotate samples first and hand the masks in by `hdgan import-masks`")
        self.classes = read_class_map(folder / CLASSES)
        data, split = read_json(folder / ANNOTATIONS), read_json(folder / SPLIT)
        try:
            if data["schema"] != SCHEMA:
                raise BadInput(folder / ANNOTATIONS, f"has schema {data['schema']}, this version reads {SCHEMA}")
            self.rows = tuple(AnnotationRow(**row) for row in data["annotations"])
            self.resolution = int(data["resolution"])
            self.mpp: float | None = data["mpp"]
            self.split: Split = {part: tuple(split[part]) for part in parts_of(split)}
        except (KeyError, TypeError, ValueError) as error:
            raise DamagedArtifact(
                folder / ANNOTATIONS, f"not a table of annotations ({error!r})", "import the masks again with --redo"
            ) from error
        self._by_name = {row.name: row for row in self.rows}

    def __len__(self) -> int:
        """The number of annotated samples."""
        return len(self.rows)

    @property
    def names(self) -> tuple[str, ...]:
        """The annotated samples, sorted; those of all parts and any beyond them."""
        return tuple(row.name for row in self.rows)

    @property
    def annotator(self) -> str:
        """Who drew the masks; several names are joined by " + ". A proposer is named once, with what became of the proposals behind."""
        found: dict[str, set[str]] = {}
        for row in self.rows:
            by = row.proposer or row.annotator
            found.setdefault(by, set()).add(row.annotator[len(by) :])
        return " + ".join(by + "".join(sorted(found[by])) for by in sorted(found))

    def row(self, name: str) -> AnnotationRow:
        """The table's row of the sample called `name`.

        Raises:
            BadInput: it is not annotated.
        """
        if name not in self._by_name:
            raise BadInput(self.folder, f"sample {name!r} is not annotated", f"annotated are {', '.join(self.names[:6])}, ...")
        return self._by_name[name]

    def mask(self, name: str) -> NDArray[np.uint8]:
        """The mask uint8 `[H, W]` of the sample called `name`.

        Raises:
            BadInput: it is not annotated.
            DamagedArtifact: the file no longer has the pixels that were imported.
        """
        return self._stored(self.folder / MASKS / f"{name}.png", self.row(name).mask_hash)

    def proposal(self, name: str) -> NDArray[np.uint8]:
        """The mask uint8 `[H, W]` as it was proposed for the sample called `name`: that of the sample itself where nobody looked at it.

        Raises:
            BadInput: it is not annotated.
            DamagedArtifact: the file no longer has the pixels that were imported.
        """
        row = self.row(name)
        return self.mask(name) if row.proposal_hash is None else self._stored(self.folder / PROPOSALS / f"{name}.png", row.proposal_hash)

    def blend(self, name: str) -> NDArray[np.bool_]:
        """`[H, W]`, true where the annotator of the sample called `name` marked a blend; nowhere, where nothing was marked.

        Raises:
            BadInput: it is not annotated.
            DamagedArtifact: the file no longer has the pixels that were imported.
        """
        row = self.row(name)
        shape = (self.resolution, self.resolution)
        if row.blend_hash is None:
            return np.zeros(shape, dtype=np.bool_)
        path = self.folder / BLENDS / f"{name}.png"
        marked = read_blend(path, shape=shape)
        if hash_array(drawn_blend(marked)) != row.blend_hash:
            raise DamagedArtifact(path, "has changed since it was imported", "import the masks again with --redo")
        return marked

    def _stored(self, path: Path, mask_hash: str) -> NDArray[np.uint8]:
        mask = read_index_mask(path, classes=self.classes, shape=(self.resolution, self.resolution))
        if hash_array(mask) != mask_hash:
            raise DamagedArtifact(path, "has changed since it was imported", "import the masks again with --redo")
        return mask
