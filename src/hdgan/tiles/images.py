"""The tiles stage on images that are cut already: each becomes one tile. Other medical images, grey and of 16 bits too, enter here.

Writes `tiles.zip` and `tiles.csv` as for slides, `images.csv` (every image with what became of it), `cases.csv` and `qc.png`. In the index the image stands
in the place of the slide: `x_px`, `y_px` and `level0_px` are the square that was taken, in px of the image. Format: docs/formats/tiles.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from hdgan.errors import BadInput
from hdgan.plots.sheets import contact_sheet
from hdgan.progress import SILENT, Progress
from hdgan.randomness import stream
from hdgan.slides.resample import area_resample
from hdgan.store.archive import INDEX, TileArchive, TileRow, read_rows, write_archive, write_rows
from hdgan.store.atomic import write_png, write_text
from hdgan.store.codec import LOSSLESS, SUFFIXES, Format, encode
from hdgan.store.stage import Manifest, StageFolder, open_stage
from hdgan.store.tables import csv_text
from hdgan.tiles.background import is_background, white_point
from hdgan.tiles.cases import CASES, CutSlide
from hdgan.tiles.config import TilesConfig
from hdgan.tiles.dealing import deal_slides
from hdgan.tiles.folds import by_centre
from hdgan.tiles.image_pixels import Window, decode_image, measured_window, to_rgb
from hdgan.tiles.image_sources import ImageBytes, ImageEntry, find_images
from hdgan.tiles.images_config import ImagesConfig

IMAGES = "images.csv"
QC = "qc.png"

_STAGE = "tiles"
_MPP_TOLERANCE = 0.02
_NUM_SHOWN, _SHOWN_PX = 36, 128
_SCORED_PX = 512
"""Edge of the picture on which background is scored."""


@dataclass(frozen=True)
class _Taken:
    """What became of one image."""

    entry: ImageEntry
    verdict: str
    """`kept`, `background` or `left out`."""
    size_px: tuple[int, int] | None = None
    """Width and height."""
    numbers: str = ""
    """The type of its numbers, such as uint16."""
    row: TileRow | None = None
    problem: BadInput | None = None
    encoded: bytes = b""


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
    with closing(ImageBytes()) as source:
        inputs = source.inputs(entries)
        with open_stage(out, stage=_STAGE, config=config.recorded(), seed=seed, inputs=inputs, redo=redo) as stage:
            if stage.manifest is None:
                window = _window(entries, source, images, config, progress)
                taken: list[_Taken] = []
                write_archive(out, _stored(entries, source, config, images, window, taken=taken, form=config.format, progress=progress))
                _finish(stage, taken, config, window, seed=seed, progress=progress)
            assert stage.manifest is not None
            return stage.manifest


def rebuild_images(
    config: TilesConfig, images: ImagesConfig, *, out: Path, seed: int, base: Path, form: Format, progress: Progress = SILENT
) -> Manifest:
    """Stores the tiles of a finished stage again, in `form`; its manifest.

    Raises:
        BadInput: an image is missing, or `form` is not for images.
        StaleStage: images or settings are others.
    """
    if form in ("raw", "none"):
        raise BadInput(out, f"images cannot be stored as {form}", "choose png, jxl or jpeg")
    entries = find_images(config.slides, base=base, labels=images.labels)
    with (
        closing(ImageBytes()) as source,
        open_stage(out, stage=_STAGE, config=config.recorded(), seed=seed, inputs=source.inputs(entries)) as stage,
    ):
        assert stage.manifest is not None, "it was finished, and a stale one is refused"
        taken: list[_Taken] = []
        told, folds = stage.manifest.counts["window"], {row.slide: row.fold for row in read_rows(out / INDEX)}
        window = (float(told[0]), float(told[1])) if told else None
        write_archive(out, _stored(entries, source, config, images, window, taken=taken, form=form, progress=progress, folds=folds))
        is_same = form in LOSSLESS and stage.manifest.config["format"] in LOSSLESS
        return stage.reseal(counts=stage.manifest.counts, is_same=is_same)


def _finish(
    stage: StageFolder, taken: Sequence[_Taken], config: TilesConfig, window: Window | None, *, seed: int, progress: Progress
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
    entries: Sequence[ImageEntry], source: ImageBytes, images: ImagesConfig, config: TilesConfig, progress: Progress
) -> Window | None:
    """The window of the whole set; None where it is that of the number format or of each image."""
    if images.window == "range":
        return images.window_range
    if images.window != "percentiles":
        return None

    def decoded() -> Iterator[np.ndarray]:
        for entry in entries:
            try:
                yield decode_image(source.read(entry), where=entry.where)
            except BadInput:
                if config.broken_slides == "stop":
                    raise
            progress.advance()

    progress.start("window", total=len(entries))
    try:
        return measured_window(decoded(), percentiles=images.window_percentiles)
    finally:
        progress.finish()


def _stored(
    entries: Sequence[ImageEntry],
    source: ImageBytes,
    config: TilesConfig,
    images: ImagesConfig,
    window: Window | None,
    *,
    taken: list[_Taken],
    form: Format,
    progress: Progress,
    folds: Mapping[str, int] | None = None,
) -> Iterator[tuple[TileRow, bytes]]:
    """The rows of the images that stay, with their bytes; what became of each image goes to `taken`."""
    progress.start("tiles", total=len(entries))
    try:
        for entry in entries:
            one = _take(entry, source, config, images, window, form=form)
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


def _take(
    entry: ImageEntry, source: ImageBytes, config: TilesConfig, images: ImagesConfig, window: Window | None, *, form: Format
) -> _Taken:
    """The tile of one image."""
    try:
        read = decode_image(source.read(entry), where=entry.where)
        x, y, edge = _square(entry, (read.shape[1], read.shape[0]), config, images)
    except BadInput as error:
        return _Taken(entry, "left out", problem=error)
    if images.window == "each":
        window = measured_window([read], percentiles=images.window_percentiles)
    pixels = to_rgb(read[y : y + edge, x : x + edge], window=window)
    if edge != config.stored_px:
        pixels = area_resample(pixels, box=(0, 0, edge, edge), out_px=(config.stored_px, config.stored_px))
    coarse = pixels[:: max(1, len(pixels) // _SCORED_PX), :: max(1, len(pixels) // _SCORED_PX)]
    share = round(float(is_background(coarse, white=white_point(coarse), white_distance=config.white_distance).mean()), 4)
    about = _Taken(entry, "background", (read.shape[1], read.shape[0]), str(read.dtype.newbyteorder("=")))
    if share > images.max_background:
        return about
    row = TileRow(
        name=entry.name + SUFFIXES[form],
        slide=entry.name,
        patient=entry.patient,
        centre=entry.centre,
        stain=entry.stain,
        fold=-1,
        x_px=x,
        y_px=y,
        level0_px=edge,
        size_px=config.stored_px,
        mpp=config.mpp,
        background=share,
    )
    return replace(about, verdict="kept", row=row, encoded=encode(pixels, form, jpeg_quality=config.jpeg_quality))


def _square(entry: ImageEntry, size_px: tuple[int, int], config: TilesConfig, images: ImagesConfig) -> tuple[int, int, int]:
    """Corner and edge of the square that becomes the tile, px of the image.

    Raises:
        BadInput: the image is too small, or of another size or scale than asked for.
    """
    wanted, (width, height) = config.stored_px, size_px
    if min(size_px) < wanted:
        raise BadInput(entry.where, f"has {width} x {height} px, a tile {wanted} x {wanted}", "ask for smaller tiles: nothing is enlarged")
    if images.fit == "exact" and size_px != (wanted, wanted):
        remedy = 'choose images.fit = "crop" (its middle) or "shrink" (its largest square, averaged)'
        raise BadInput(entry.where, f"has {width} x {height} px, a tile {wanted} x {wanted}", remedy)
    edge = min(size_px) if images.fit == "shrink" else wanted
    scale = None if entry.mpp is None else entry.mpp * edge / wanted
    if scale is not None and abs(scale / config.mpp - 1) > _MPP_TOLERANCE:
        what = f"gives a tile of {scale:.4g} um/px, not the {config.mpp:g} asked for"
        raise BadInput(entry.where, what, "change `mpp`, `tile_px` or `images.fit`, or leave the image out")
    return (width - edge) // 2, (height - edge) // 2, edge


def _table(taken: Sequence[_Taken], fold_of: Mapping[str, int]) -> str:
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
    num = sum(entry.patient == entry.name for entry in entries)
    return [f"patient: not known of {num} images, each of which counts as one; give a table with a column `patient`"] if num else []


def _sheet(archive: TileArchive, *, seed: int) -> np.ndarray:
    """Some of the tiles, small."""
    chosen = sorted(int(i) for i in stream(seed, "tiles.images.qc").permutation(len(archive))[:_NUM_SHOWN])
    thumbs = [Image.fromarray(archive.read(i)) for i in chosen]
    for thumb in thumbs:
        thumb.thumbnail((_SHOWN_PX, _SHOWN_PX))
    return contact_sheet([np.asarray(thumb) for thumb in thumbs])
