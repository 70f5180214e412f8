"""The tiles stage on images that are cut already: each becomes one tile. Other medical images, grey and of 16 bits too, enter here.

Writes `tiles.zip` and `tiles.csv` as for slides, `images.csv` (every image with what became of it), `cases.csv` and `qc.png`. In the index the image stands
in the place of the slide: `x_px`, `y_px` and `level0_px` are the square that was taken, in px of the image. Images are decoded by processes of their
own: a decoder that crashes costs its image. Format: docs/formats/tiles.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from hdgan.errors import BadInput
from hdgan.plots.sheets import contact_sheet
from hdgan.progress import SILENT, Progress
from hdgan.randomness import stream
from hdgan.store.archive import INDEX, TileArchive, TileRow, read_rows, write_archive, write_rows
from hdgan.store.atomic import write_png, write_text
from hdgan.store.codec import LOSSLESS, Format, Store
from hdgan.store.stage import Manifest, StageFolder, open_stage
from hdgan.store.tables import csv_text
from hdgan.tiles.cases import CASES, CutSlide
from hdgan.tiles.config import TilesConfig
from hdgan.tiles.crew import Crew
from hdgan.tiles.dealing import deal_slides
from hdgan.tiles.folds import by_centre, unknown_patients
from hdgan.tiles.hiring import open_crew
from hdgan.tiles.image_pixels import NUM_VALUES, Window, window_of
from hdgan.tiles.image_sources import ImageBytes, ImageEntry, find_images
from hdgan.tiles.image_taking import Taken, images_taken, values_of
from hdgan.tiles.images_config import ImagesConfig

IMAGES = "images.csv"
QC = "qc.png"

_STAGE = "tiles"
_NUM_SHOWN, _SHOWN_PX = 36, 128


def run_images(
    config: TilesConfig, images: ImagesConfig, *, out: Path, seed: int, base: Path, redo: bool = False, progress: Progress = SILENT
) -> Manifest:
    """Stores the images that `config.slides` names as tiles in the stage folder `out`; its manifest.

    Raises:
        BadInput: an image is missing, damaged, too small, or of another size or scale than asked for (`broken_slides` may leave it out), or none stays;
            or folds are by centre and centres are unknown, one, or shared by a patient.
    """
    entries = find_images(config.slides, base=base, labels=images.labels)
    if config.folds == "centre":  # before anything is written
        by_centre(_as_slide(entry, num_tiles=1) for entry in entries)
    with closing(ImageBytes()) as source, open_crew(config.model_copy(update={"scheduler": None})) as crew:
        inputs = source.inputs(entries)
        with open_stage(out, stage=_STAGE, config=config.recorded(), seed=seed, inputs=inputs, redo=redo) as stage:
            if stage.manifest is None:
                window = _window(entries, source, images, config, crew, progress)
                taken: list[Taken] = []
                found = images_taken(entries, source, config, images, window, form=_form(config.format), crew=crew, progress=progress)
                write_archive(out, _stored(found, config, taken=taken, total=len(entries), progress=progress))
                _finish(stage, taken, config, window, seed=seed, progress=progress)
            assert stage.manifest is not None
            return stage.manifest


def rebuild_images(
    config: TilesConfig, images: ImagesConfig, *, out: Path, seed: int, base: Path, form: Store, progress: Progress = SILENT
) -> Manifest:
    """Stores the tiles of a finished stage again, in `form`; its manifest.

    Raises:
        BadInput: an image is missing, or `form` is not for images.
        StaleStage: images or settings are others.
    """
    if form in ("raw", "none"):
        raise BadInput(out, f"images cannot be stored as {form}", "choose auto, png, jxl or jpeg")
    entries = find_images(config.slides, base=base, labels=images.labels)
    with (
        closing(ImageBytes()) as source,
        open_crew(config.model_copy(update={"scheduler": None})) as crew,
        open_stage(out, stage=_STAGE, config=config.recorded(), seed=seed, inputs=source.inputs(entries)) as stage,
    ):
        assert stage.manifest is not None, "it was finished, and a stale one is refused"
        taken: list[Taken] = []
        told, folds = stage.manifest.counts["window"], {row.slide: row.fold for row in read_rows(out / INDEX)}
        window = (float(told[0]), float(told[1])) if told else None
        found = images_taken(entries, source, config, images, window, form=_form(form), crew=crew, progress=progress)
        write_archive(out, _stored(found, config, taken=taken, total=len(entries), progress=progress, folds=folds))
        is_same = form in LOSSLESS and stage.manifest.config["format"] in LOSSLESS
        return stage.reseal(counts=stage.manifest.counts, is_same=is_same)


def _form(store: Store) -> Format:
    """How the tiles are stored; images have no JPEG tiles to be copied, and what takes images takes PNG."""
    return "png" if store == "auto" else store


def _finish(
    stage: StageFolder, taken: Sequence[Taken], config: TilesConfig, window: Window | None, *, seed: int, progress: Progress
) -> None:
    """Writes the index with its folds and what stands beside it."""
    out, rows = stage.path, [one.row for one in taken if one.row is not None]
    if not rows:
        raise BadInput(out, f"no tile stays of {len(taken)} images", "raise `images.max_background`, or look at the images")
    dealt = deal_slides([_as_slide(one.entry, num_tiles=int(one.row is not None)) for one in taken], rows, config, seed=seed)
    rows = [replace(row, fold=dealt.fold_of[row.name]) for row in rows]
    write_rows(out / INDEX, rows)
    write_text(out / IMAGES, _table(taken, dealt.fold_of))
    write_text(out / CASES, dealt.table(rows))
    with closing(TileArchive(out)) as archive:
        write_png(out / QC, _sheet(archive, seed=seed))
    warnings = [*dealt.warnings(rows), *_leaks([one.entry for one in taken])]
    for line in warnings:
        progress.say(line)
    counts = {
        "images": len(taken),
        "tiles": len(rows),
        "patients": len({row.patient for row in rows}),
        "window": list(window) if window else None,
        **dealt.counts(rows),
        "warnings": warnings,
    }
    stage.seal(counts=counts)


def _window(
    entries: Sequence[ImageEntry], source: ImageBytes, images: ImagesConfig, config: TilesConfig, crew: Crew, progress: Progress
) -> Window | None:
    """The window of the whole set; None where it is that of the number format or of each image."""
    if images.window == "range":
        return images.window_range
    if images.window != "percentiles":
        return None
    counts = np.zeros(NUM_VALUES, np.int64)
    progress.start("window", total=len(entries))
    try:
        for found in values_of(entries, source, crew=crew, progress=progress):
            if isinstance(found, BadInput):
                if config.broken_slides == "stop":
                    raise found
            else:
                counts[found.values] += found.counts
            progress.advance()
    finally:
        progress.finish()
    return window_of(counts, percentiles=images.window_percentiles)


def _stored(
    found: Iterator[Taken],
    config: TilesConfig,
    *,
    taken: list[Taken],
    total: int,
    progress: Progress,
    folds: Mapping[str, int] | None = None,
) -> Iterator[tuple[TileRow, bytes]]:
    """The rows of the images that stay, with their bytes; what became of each image goes to `taken`."""
    progress.start("tiles", total=total)
    try:
        for one in found:
            if one.problem is not None:
                if config.broken_slides == "stop":
                    raise one.problem
                progress.say(f"left out: {one.problem}")
            taken.append(replace(one, encoded=b""))
            if one.row is not None:
                yield replace(one.row, fold=(folds or {}).get(one.row.slide, one.row.fold)), one.encoded
            progress.advance()
    finally:
        progress.finish()


def _table(taken: Sequence[Taken], fold_of: Mapping[str, int]) -> str:
    """`images.csv`: files by their names, not their places."""
    lines: list[list[object]] = []
    header = "image,file,patient,centre,stain,diagnosis,fold,width_px,height_px,numbers,verdict,problem"
    for one in taken:
        entry = one.entry
        file = f"{entry.path.name}/{entry.member}" if entry.member else entry.path.name
        fold = fold_of[one.row.name] if one.row else ""
        told = [entry.name, file, entry.patient, entry.centre, entry.stain, entry.diagnosis, fold]
        problem = "" if one.problem is None else f"{one.problem.what}; {one.problem.remedy}"
        lines.append([*told, *(one.size_px or ("", "")), one.numbers, one.verdict, problem])
    return csv_text(header.split(","), lines)


def _as_slide(entry: ImageEntry, *, num_tiles: int) -> CutSlide:
    """An image as a slide that gives at most one tile."""
    return CutSlide(entry.name, entry.patient, entry.centre, entry.stain, entry.diagnosis, num_tiles)


def _leaks(entries: Sequence[ImageEntry]) -> list[str]:
    """A line where nobody said which images are of one patient."""
    return unknown_patients(sum(entry.patient == entry.name for entry in entries), of="images")


def _sheet(archive: TileArchive, *, seed: int) -> np.ndarray:
    """Some of the tiles, small."""
    chosen = sorted(int(i) for i in stream(seed, "tiles.images.qc").permutation(len(archive))[:_NUM_SHOWN])
    thumbs = [Image.fromarray(archive.read(i)) for i in chosen]
    for thumb in thumbs:
        thumb.thumbnail((_SHOWN_PX, _SHOWN_PX))
    return contact_sheet([np.asarray(thumb) for thumb in thumbs])
