"""A folder of painted whole-slide images: several patients, centres and stains, with exact masks.

Slides are pyramidal tiled TIFFs with their scale in the resolution tags (what OpenSlide calls generic-tiff), pixels lossless.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile

from hdgan.annotations.geojson import geojson_text, mask_to_geojson
from hdgan.errors import BadInput
from hdgan.labels import KIDNEY
from hdgan.progress import SILENT, Progress, track
from hdgan.randomness import counter_key
from hdgan.store.atomic import replacing, write_json, write_png, write_text
from hdgan.store.pairs import PairFolder, write_classes, write_pair
from hdgan.testing.painter import Painting, paint
from hdgan.testing.stains import STAINS

CENTRES = ("north", "south", "east")
_TILE_PX = 256
_COLUMNS = ("slide", "path", "patient", "centre", "stain", "mpp", "mask")


@dataclass(frozen=True)
class PaintedSlide:
    """One slide of a cohort and where its truth lies."""

    name: str
    path: Path
    mask: Path
    """8-bit PNG in level-0 px."""
    patient: str
    centre: str
    stain: str
    mpp: float


def paint_cohort(
    folder: Path,
    *,
    num_patients: int,
    size_px: int | tuple[int, int],
    seed: int = 0,
    slides_per_patient: int = 1,
    centres: Sequence[str] = CENTRES,
    stains: Sequence[str] = tuple(STAINS),
    mpp: float = 0.5,
    scale: float = 1.0,
    density: float = 1.0,
    outline: str = "core",
    progress: Progress = SILENT,
) -> tuple[PaintedSlide, ...]:
    """The slides written to `folder`: `slides/*.tif`, `masks/*.png` and `.geojson`, `slides.csv`, `classes.json`.

    Patients take turns at the centres, slides at the stains, so that no centre keeps to one stain. The other arguments are
    those of `painter.paint`.

    Raises:
        BadInput: nothing to paint, or an argument the painter refuses.
        OutOfSpace: the disk is full.
    """
    if num_patients < 1 or slides_per_patient < 1 or not centres or not stains:
        raise BadInput("painter", f"{num_patients} patients, {len(centres)} centres, {len(stains)} stains", "give at least one of each")
    slides = []
    total = num_patients * slides_per_patient
    for number in track(range(total), total=total, label="paint", progress=progress):
        person, turn = divmod(number, slides_per_patient)
        patient, centre = f"p{person:02d}", centres[person % len(centres)]
        stain = stains[(person % len(centres) + person // len(centres) + turn) % len(stains)]
        name = f"{patient}-{turn}-{stain}"
        scene_seed = counter_key(seed, "painter.cohort", number) & 0x7FFFFFFF
        painting = paint(
            scene_seed,
            size_px=size_px,
            mpp=mpp,
            stain=stain,
            centre=centre,
            patient=patient,
            scale=scale,
            density=density,
            outline=outline,
        )
        slide = PaintedSlide(name, folder / "slides" / f"{name}.tif", folder / "masks" / f"{name}.png", patient, centre, stain, mpp)
        write_slide(slide.path, painting)
        write_png(slide.mask, painting.mask)
        write_text(slide.mask.with_suffix(".geojson"), geojson_text(mask_to_geojson(painting.mask, KIDNEY, name=name)))
        slides.append(slide)
    write_text(folder / "slides.csv", _table(slides, folder))
    write_json(folder / "classes.json", KIDNEY.to_json())
    return tuple(slides)


def paint_pairs(
    folder: Path,
    *,
    num: int,
    size_px: int,
    seed: int = 0,
    centres: Sequence[str] = CENTRES,
    stains: Sequence[str] = tuple(STAINS),
    mpp: float = 0.5,
    scale: float = 1.0,
    density: float = 1.0,
    progress: Progress = SILENT,
) -> PairFolder:
    """Images with exact masks as a folder of pairs, such as an oracle segmenter is trained on; each shows a scene of its own.

    Stems are `0000-<centre>-<stain>`. With the centres, stains, mpp and scale of a cohort the pairs look like tiles of it, but a scene is
    never one of the cohort's.

    Raises:
        BadInput: nothing to paint, or an argument the painter refuses.
    """
    if num < 1 or not centres or not stains:
        raise BadInput("painter", f"{num} pairs, {len(centres)} centres, {len(stains)} stains", "give at least one of each")
    for number in track(range(num), total=num, label="paint", progress=progress):
        centre, stain = centres[number % len(centres)], stains[number // len(centres) % len(stains)]
        scene_seed = counter_key(seed, "painter.pairs", number) & 0x7FFFFFFF
        painting = paint(
            scene_seed, size_px=size_px, mpp=mpp, stain=stain, centre=centre, patient=f"q{number:04d}", scale=scale, density=density
        )
        write_pair(folder, f"{number:04d}-{centre}-{stain}", painting.image, painting.mask)
    write_classes(folder, KIDNEY)
    return PairFolder(folder)


def write_slide(path: Path, painting: Painting) -> None:
    """Writes the painting as a pyramidal tiled TIFF, each level half the one before, down to one tile."""
    level, mpp = painting.image, painting.mpp
    with replacing(path) as temporary, tifffile.TiffWriter(temporary) as tiff:
        while True:
            tiff.write(
                level,
                photometric="rgb",
                tile=(_TILE_PX, _TILE_PX),
                compression="zlib",
                resolution=(1e4 / mpp, 1e4 / mpp),
                resolutionunit="CENTIMETER",
                subfiletype=0 if level is painting.image else 1,
                metadata=None,
                software=False,
            )
            if max(level.shape[:2]) <= _TILE_PX:
                break
            level, mpp = halved(level), mpp * 2


def halved(image: np.ndarray) -> np.ndarray:
    """`[H // 2, W // 2, 3]`: means of 2 x 2 pixels, an odd last row or column left out."""
    height, width = image.shape[0] // 2, image.shape[1] // 2
    blocks = image[: 2 * height, : 2 * width].reshape(height, 2, width, 2, 3).astype(np.uint16)
    return np.asarray((blocks.sum(axis=(1, 3)) + 2) // 4, np.uint8)


def _table(slides: Sequence[PaintedSlide], folder: Path) -> str:
    """The slide table: paths relative to its folder; readers that do not know the column `mask` skip it."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for s in slides:
        path, mask = (p.relative_to(folder).as_posix() for p in (s.path, s.mask))
        writer.writerow((s.name, path, s.patient, s.centre, s.stain, s.mpp, mask))
    return text.getvalue()
