"""Named sets of pairs in one folder, which never share a pixel: `sets.json` and a pair folder for each. Format: docs/formats/downstream.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hdgan.downstream.config import RealConfig
from hdgan.downstream.fit import HeldPairs
from hdgan.downstream.real import cut_real, open_regions
from hdgan.errors import BadInput, DamagedArtifact
from hdgan.labels import ClassMap
from hdgan.progress import SILENT, Progress
from hdgan.slides.content import content_hash
from hdgan.store.atomic import read_json, write_json
from hdgan.store.hashing import hash_file, hash_json
from hdgan.store.pairs import CLASSES, IMAGES, MASKS, PairFolder, write_classes, write_pair
from hdgan.store.stage import MANIFEST, Manifest, open_stage
from hdgan.tiles.apart import ApartSlide

INDEX = "sets.json"
SCHEMA = 1
STAGE = "real"


@dataclass(frozen=True)
class SetsNote:
    """What is true of all sets of a folder: scale (um/px), edge of a tile without margin, and where they come from, for reports."""

    mpp: float
    tile_px: int
    origin: str
    is_same_patient: bool
    """Whether tissue of one patient is in more than one set."""


class PairSets:
    """The sets of a folder, read-only."""

    def __init__(self, folder: Path) -> None:
        """Opens `folder`.

        Raises:
            BadInput: there are no sets, or of another version.
            DamagedArtifact: the index is not one of ours.
        """
        self.folder = folder
        data = read_json(folder / INDEX)
        try:
            if data["schema"] != SCHEMA:
                raise BadInput(folder / INDEX, f"has schema {data['schema']}, this version reads {SCHEMA}")
            self.note = SetsNote(float(data["mpp"]), int(data["tile_px"]), str(data["origin"]), bool(data["is_same_patient"]))
            self._margins = {str(name): int(entry["margin_px"]) for name, entry in data["sets"].items()}
            self._counts = {str(name): int(entry["pairs"]) for name, entry in data["sets"].items()}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DamagedArtifact(folder / INDEX, f"is no index of sets ({error!r})", "cut the pairs again with --redo") from error

    @property
    def names(self) -> tuple[str, ...]:
        """The sets."""
        return tuple(sorted(self._margins))

    def part(self, name: str) -> PairFolder:
        """The pairs of set `name` as stored, margin included.

        Raises:
            BadInput: there is no such set, or it has another number of pairs than the index says.
        """
        if name not in self._margins:
            raise BadInput(self.folder, f"no set {name!r}", f"sets are {', '.join(self.names)}")
        pairs = PairFolder(self.folder / name)
        if len(pairs) != self._counts[name]:
            remedy = f"take out what was left there by others, or correct the number in {INDEX}"
            raise BadInput(pairs.folder, f"holds {len(pairs)} pairs, {INDEX} says {self._counts[name]}", remedy)
        return pairs

    @property
    def content_hash(self) -> str:
        """Changes with the sets: the hash of the manifest of sets that were cut from a slide; of a folder that was given that of index, classes
        and masks by their bytes, and of images by their names and sizes.
        """
        if (self.folder / MANIFEST).exists():
            return hash_file(self.folder / MANIFEST)
        found: dict[str, object] = {INDEX: hash_file(self.folder / INDEX)}
        for name in self.names:
            pairs = self.part(name)
            found[name] = {
                CLASSES: hash_file(pairs.folder / CLASSES),
                MASKS: [hash_file(pairs.folder / MASKS / f"{stem}.png") for stem in pairs.stems],
                IMAGES: [(stem, (pairs.folder / IMAGES / f"{stem}.png").stat().st_size) for stem in pairs.stems],
            }
        return hash_json(found)

    def tiles(self, name: str) -> HeldPairs:
        """The pairs of set `name` without margin, in memory."""
        folder, margin = self.part(name), self._margins[name]
        inner = slice(margin, margin + self.note.tile_px)
        pairs = [(folder.image(stem)[inner, inner], folder.mask(stem)[inner, inner]) for stem in folder.stems]
        return HeldPairs([image for image, _ in pairs], [mask for _, mask in pairs])


def write_sets(
    folder: Path, pairs: Iterable[tuple[str, str, np.ndarray, np.ndarray]], *, note: SetsNote, margins: Mapping[str, int], classes: ClassMap
) -> dict[str, int]:
    """Writes pairs (set, stem, image, mask) and the index, last; the number of pairs in each set.

    Raises:
        BadInput: a set remains empty.
    """
    counts = dict.fromkeys(margins, 0)
    for name, stem, image, mask in pairs:
        if counts[name] == 0:
            write_classes(folder / name, classes)
        write_pair(folder / name, stem, image, mask)
        counts[name] += 1
    empty = sorted(name for name, count in counts.items() if not count)
    if empty:
        raise BadInput(folder, f"no tile is left for the set {empty[0]!r}", "its blocks hold white only, or are smaller than a tile")
    entries = {name: {"margin_px": margins[name], "pairs": counts[name]} for name in margins}
    about = {"mpp": note.mpp, "tile_px": note.tile_px, "origin": note.origin, "is_same_patient": note.is_same_patient}
    write_json(folder / INDEX, {"schema": SCHEMA, "sets": entries, **about})
    return counts


def run_real(
    config: RealConfig,
    *,
    slide: Path,
    regions: Mapping[str, Path],
    classes: ClassMap,
    out: Path,
    slide_mpp: float | None = None,
    redo: bool = False,
    progress: Progress = SILENT,
) -> Manifest:
    """The manifest of the real pairs in `out`, cut from `slide` with the `regions` (class name -> mask image or GeoJSON) of its annotator.

    Raises:
        BadInput: slide or regions cannot be read or do not fit, or the slide's reader crashes or hangs.
        StaleStage: `out` holds pairs of other inputs or settings, and `redo` is not set.
    """
    inputs = {"slide": content_hash(slide), "classes": hash_json(classes.to_json())}
    inputs |= {f"regions: {name}": hash_file(_existing(path)) for name, path in regions.items()}
    settings = {**config.model_dump(mode="json"), "slide_mpp": slide_mpp}
    with open_stage(out, stage=STAGE, config=settings, seed=0, inputs=inputs, redo=redo) as folder:
        if folder.manifest is not None:
            return folder.manifest
        with closing(ApartSlide(slide, mpp_override=slide_mpp)) as opened:  # its decoders must not end a run that trains
            outlined = {name: open_regions(path, size_px=opened.size_px) for name, path in regions.items()}
            tiles = cut_real(opened, outlined, config, classes=classes, progress=progress)
            note = SetsNote(config.mpp, config.tile_px, f"slide {slide.name}, blocks along y", is_same_patient=True)
            margins = {name: part.margin_px for name, part in config.sets.items()}
            pairs = ((tile.part, tile.stem, tile.image, tile.mask) for tile in tiles)
            counts = write_sets(out, pairs, note=note, margins=margins, classes=classes)
        return folder.seal(counts=dict(counts))


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise BadInput(path, "no such file of regions", "give a mask image in level-0 pixels or a GeoJSON file")
    return path
