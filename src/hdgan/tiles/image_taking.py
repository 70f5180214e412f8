"""Images to tiles, by a crew: the parent reads the files, workers decode, cut and encode, and a decoder that crashes costs its image.

Images are handed out in groups, so that what waits for its turn stays below some hundred MB, and come back in their order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from hdgan.errors import BadInput
from hdgan.progress import SILENT, Progress
from hdgan.slides.resample import area_resample
from hdgan.store.archive import TileRow
from hdgan.store.codec import SUFFIXES, Format, encode
from hdgan.tiles.background import is_background, white_point
from hdgan.tiles.config import TilesConfig
from hdgan.tiles.crew import Crew, Job, in_order
from hdgan.tiles.image_pixels import Window, counted, decode_image, measured_window, to_rgb
from hdgan.tiles.image_sources import ImageBytes, ImageEntry
from hdgan.tiles.images_config import ImagesConfig

_MPP_TOLERANCE = 0.02
_SCORED_PX = 512
"""Edge of the picture on which background is scored."""
_GROUP, _GROUP_BYTES = 512, 256 << 20
"""Most images of a group, and the bytes of files and tiles after which it is full."""

Found = TypeVar("Found")


@dataclass(frozen=True)
class Taken:
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


@dataclass(frozen=True)
class Values:
    """The values of an image of more than 8 bits."""

    values: np.ndarray
    """Places in the counts of `image_pixels.counted`, int64 `[N]`."""
    counts: np.ndarray
    """How often, int64 `[N]`."""


def images_taken(
    entries: Sequence[ImageEntry],
    source: ImageBytes,
    config: TilesConfig,
    images: ImagesConfig,
    window: Window | None,
    *,
    form: Format,
    crew: Crew,
    progress: Progress,
) -> Iterator[Taken]:
    """What becomes of each image, in order; one that cannot be read or decoded is left out, with its problem."""

    def job(entry: ImageEntry, data: bytes) -> Job[Taken]:
        return Job(entry.where, take_image, (entry, data, config, images, window, form))

    for entry, found in _done(entries, source, job, crew, progress, tile_bytes=2 * config.stored_px**2):
        yield Taken(entry, "left out", problem=found) if isinstance(found, BadInput) else found


def values_of(entries: Sequence[ImageEntry], source: ImageBytes, *, crew: Crew, progress: Progress) -> Iterator[Values | BadInput]:
    """The values of each image, in order, or what is wrong with it."""

    def job(entry: ImageEntry, data: bytes) -> Job[Values]:
        return Job(entry.where, count_values, (entry, data))

    for _, found in _done(entries, source, job, crew, progress, tile_bytes=0):
        yield found


def take_image(
    entry: ImageEntry,
    data: bytes,
    config: TilesConfig,
    images: ImagesConfig,
    window: Window | None,
    form: Format,
    *,
    progress: Progress = SILENT,
) -> Taken:
    """The tile of one image, whose file holds `data`.

    Raises:
        BadInput: it is damaged, too small, or of another size or scale than asked for.
    """
    del progress
    read = decode_image(data, where=entry.where)
    x, y, edge = _square(entry, (read.shape[1], read.shape[0]), config, images)
    if images.window == "each":
        window = measured_window([read], percentiles=images.window_percentiles)
    pixels = to_rgb(read[y : y + edge, x : x + edge], window=window)
    if edge != config.stored_px:
        pixels = area_resample(pixels, box=(0, 0, edge, edge), out_px=(config.stored_px, config.stored_px))
    coarse = pixels[:: max(1, len(pixels) // _SCORED_PX), :: max(1, len(pixels) // _SCORED_PX)]
    share = round(float(is_background(coarse, white=white_point(coarse), white_distance=config.white_distance).mean()), 4)
    about = Taken(entry, "background", (read.shape[1], read.shape[0]), str(read.dtype.newbyteorder("=")))
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


def count_values(entry: ImageEntry, data: bytes, *, progress: Progress = SILENT) -> Values:
    """The values of one image, whose file holds `data`.

    Raises:
        BadInput: it is damaged.
    """
    del progress
    counts = counted(decode_image(data, where=entry.where))
    values = np.flatnonzero(counts)
    return Values(values, counts[values])


def _done(
    entries: Sequence[ImageEntry],
    source: ImageBytes,
    job: Callable[[ImageEntry, bytes], Job[Found]],
    crew: Crew,
    progress: Progress,
    *,
    tile_bytes: int,
) -> Iterator[tuple[ImageEntry, Found | BadInput]]:
    """Each image with the value of its job or what is wrong with it, in order, a group after the other."""
    for group in _groups(entries, source, tile_bytes=tile_bytes):
        readable = [number for number, (_, data) in enumerate(group) if isinstance(data, bytes)]
        jobs = [job(*group[number]) for number in readable]  # type: ignore[arg-type]
        found: list[Any] = [data for _, data in group]
        for number, outcome in zip(readable, in_order(crew.run(jobs, progress=progress)), strict=True):
            found[number] = outcome.problem or outcome.value
        yield from zip([entry for entry, _ in group], found, strict=True)


def _groups(entries: Sequence[ImageEntry], source: ImageBytes, *, tile_bytes: int) -> Iterator[list[tuple[ImageEntry, bytes | BadInput]]]:
    """The images with the bytes of their files, in groups."""
    group: list[tuple[ImageEntry, bytes | BadInput]] = []
    held = 0
    for entry in entries:
        try:
            data: bytes | BadInput = source.read(entry)
        except BadInput as error:
            data = error
        group.append((entry, data))
        held += tile_bytes + (len(data) if isinstance(data, bytes) else 0)
        if held >= _GROUP_BYTES or len(group) >= _GROUP:
            yield group
            group, held = [], 0
    if group:
        yield group


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
