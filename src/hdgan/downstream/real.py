"""Real pairs: tiles of a slide with masks from regions that somebody outlined.

Frames: level-0 px of the slide for positions and regions, px at the requested scale for tiles. Blocks along y keep sets apart: no stored
pixel, margin included, leaves its block. Within one slide all sets are of the same patient, and numbers must say so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from hdgan.annotations.geojson import SUFFIXES, read_geojson
from hdgan.annotations.raster import fill
from hdgan.downstream.config import RealConfig, RealSet
from hdgan.errors import BadInput, BadMask
from hdgan.labels import ClassMap
from hdgan.progress import SILENT, Progress, track
from hdgan.slides.protocol import SlideReader
from hdgan.slides.reader import known_mpp
from hdgan.store.atomic import read_mask
from hdgan.types import Polygon

_HALF = 127


class Regions(Protocol):
    """What somebody outlined, all of one class."""

    def cover(self, xy: tuple[int, int], *, level0_size: int, out_px: int) -> np.ndarray:
        """Which pixels of the square at `xy` (level-0 px) are covered, bool `[out, out]`."""


class MaskRegions:
    """Regions as an image in level-0 pixels, not 0 inside; a pixel counts when more than half of it is covered."""

    def __init__(self, path: Path, *, size_px: tuple[int, int]) -> None:
        """Reads the mask at `path` of a slide of `size_px` (width, height).

        Raises:
            BadMask: it is broken or of another size.
        """
        self.mask = read_mask(path) > 0
        if self.mask.shape != size_px[::-1]:
            found = f"{self.mask.shape[1]} x {self.mask.shape[0]} px"
            raise BadMask(path, f"is {found}, its slide {size_px[0]} x {size_px[1]} px", "give the mask in level-0 pixels of the slide")

    def cover(self, xy: tuple[int, int], *, level0_size: int, out_px: int) -> np.ndarray:
        """Which pixels are covered."""
        cut = self.mask[xy[1] : xy[1] + level0_size, xy[0] : xy[0] + level0_size]
        grey = Image.fromarray(cut.astype(np.uint8) * 255).resize((out_px, out_px), Image.Resampling.BOX)
        covered: np.ndarray = np.asarray(grey) > _HALF
        return covered


class DrawnRegions:
    """Regions as polygons in level-0 pixels (QuPath GeoJSON), whatever class names they carry; a pixel counts when its centre is inside."""

    def __init__(self, path: Path) -> None:
        """Reads the polygons of `path`.

        Raises:
            BadInput: it is no GeoJSON of areas.
        """
        self.polygons: tuple[Polygon, ...] = tuple(polygon for region in read_geojson(path) for polygon in region.polygons)

    def cover(self, xy: tuple[int, int], *, level0_size: int, out_px: int) -> np.ndarray:
        """Which pixels are covered."""
        scale = out_px / level0_size
        near = [polygon for polygon in self.polygons if _meets(polygon, xy, level0_size)]
        moved = [tuple((ring - np.array(xy)) * scale for ring in polygon) for polygon in near]
        return fill(moved, shape=(out_px, out_px))


@dataclass(frozen=True)
class RealTile:
    """One pair: its set, name, corner (level-0 px, margin included), image uint8 `[S, S, 3]`, mask uint8 `[S, S]`."""

    part: str
    stem: str
    xy: tuple[int, int]
    image: np.ndarray
    mask: np.ndarray


def open_regions(path: Path, *, size_px: tuple[int, int]) -> Regions:
    """The regions in a GeoJSON file or a mask image of a slide of `size_px` (width, height).

    Raises:
        BadInput: the file cannot be read or does not fit.
    """
    if path.name.lower().endswith(SUFFIXES):
        return DrawnRegions(path)
    return MaskRegions(path, size_px=size_px)


def is_white(image: np.ndarray, *, above: int = 200, spread: int = 25) -> np.ndarray:
    """Which pixels of `[H, W, 3]` uint8 are glass or lumen: darkest channel > `above`, brightest - darkest < `spread`."""
    low, high = image.min(axis=2), image.max(axis=2)
    white: np.ndarray = (low > above) & (high - low < spread)
    return white


def cut_real(
    slide: SlideReader, regions: Mapping[str, Regions], config: RealConfig, *, classes: ClassMap, progress: Progress = SILENT
) -> Iterator[RealTile]:
    """The pairs of every set, in the order of the sets, row by row.

    `regions` maps a class name to what was outlined of it; a later one covers an earlier one.

    Raises:
        BadInput: a class is not in the map, the slide has no scale or is coarser than asked, or a block lies below the slide.
    """
    values = {name: classes.index(name) for name in (*regions, config.background)}
    mpp = known_mpp(slide)
    if config.mpp < mpp * 0.999:
        raise BadInput(slide.path, f"has {mpp:g} um/px, {config.mpp:g} were asked for", "choose a coarser real.cut.mpp")
    places = [(part, xy) for part, settings in config.sets.items() for xy in _corners(slide, settings, config, mpp=mpp)]
    for part, xy in track(places, total=len(places), label="cut real pairs", progress=progress):
        margin = config.sets[part].margin_px
        size_px = config.tile_px + 2 * margin
        level0_size = round(size_px * config.mpp / mpp)
        image = slide.read(xy, level0_size=level0_size, out_px=size_px)
        white = is_white(image, above=config.white_above, spread=config.white_spread)
        inner = slice(margin, margin + config.tile_px)
        if white[inner, inner].mean() > config.max_white:
            continue
        mask = np.full(white.shape, values[config.background], np.uint8)
        if config.whitespace is not None:
            mask[white] = classes.index(config.whitespace)
        for name, outlined in regions.items():
            mask[outlined.cover(xy, level0_size=level0_size, out_px=size_px)] = values[name]
        yield RealTile(part, f"y{xy[1]:06d}-x{xy[0]:06d}", xy, image, mask)


def _corners(slide: SlideReader, settings: RealSet, config: RealConfig, *, mpp: float) -> Iterator[tuple[int, int]]:
    """Corners (x, y) of stored squares, level-0 px, that lie wholly in a block and in the slide."""
    width, height = slide.size_px
    level0_size = round((config.tile_px + 2 * settings.margin_px) * config.mpp / mpp)
    step = (settings.stride_px or config.tile_px) * config.mpp / mpp
    for first, end in settings.rows:
        if end > height:
            raise BadInput(slide.path, f"has {height} rows, a block ends at row {end}", "mend real.cut.sets")
        for row in range(int((end - first - level0_size) / step) + 1 if end - first >= level0_size else 0):
            for column in range(int((width - level0_size) / step) + 1):
                yield round(column * step), first + round(row * step)


def _meets(polygon: Polygon, xy: tuple[int, int], edge: int) -> bool:
    low, high = polygon[0].min(axis=0), polygon[0].max(axis=0)
    return bool((high > xy).all() and (low < np.array(xy) + edge).all())
