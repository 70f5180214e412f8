"""Drawn regions become an index mask: whose name is which class, and which region lies on top.

Names are those of the class map, with or without capitals; a mapping file gives other names a class (`docs/formats/annotations.md`).
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray

from hdgan.annotations.config import DrawOrder
from hdgan.annotations.geojson import IGNORED_CLASS, Region
from hdgan.annotations.raster import polygon_pixels
from hdgan.errors import BadInput, BadMask
from hdgan.labels import IGNORE, ClassMap
from hdgan.store.geojson import shape_of

IGNORE_NAME = "ignore"
"""What a mapping file calls the ignored value."""


@dataclass(frozen=True)
class ClassNames:
    """Which class a region's name stands for.

    `mapping` comes first: drawn name -> class name, "ignore" (pixels become 255) or None (the region is left out). The key "" is for
    regions without a class.
    """

    classes: ClassMap
    mapping: Mapping[str, str | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuses a mapping to a class that does not exist.

        Raises:
            BadInput: with the name.
        """
        for drawn, target in self.mapping.items():
            if target is not None and self._known(target) is None:
                raise BadInput("class mapping", f"{drawn!r} stands for unknown class {target!r}", self._remedy())

    def value(self, name: str, *, where: str | Path, number: int) -> int | None:
        """The mask value of the class drawn as `name`, or None when the mapping leaves it out.

        Raises:
            BadMask: nothing says what the name stands for; `number` is the region's in the file.
        """
        folded = {_folded(drawn): target for drawn, target in self.mapping.items()}
        if _folded(name) in folded:
            target = folded[_folded(name)]
            return None if target is None else self._known(target)
        value = self._known(name) if name else None
        if value is None:
            what = f"feature {number} has the unknown class {name!r}" if name else f"feature {number} has no class"
            raise BadMask(where, what, self._remedy() + ", or name it in a mapping file")
        return value

    def _known(self, name: str) -> int | None:
        if name in self.classes.names:
            return self.classes.names.index(name)
        if name.casefold() in (IGNORE_NAME, IGNORED_CLASS.casefold()):
            return IGNORE
        folded = [_folded(known) for known in self.classes.names]
        # Two classes that differ by capitals only can be meant by their exact names alone.
        return folded.index(_folded(name)) if folded.count(_folded(name)) == 1 else None

    def _remedy(self) -> str:
        return f"known are {', '.join(self.classes.names)} and {IGNORED_CLASS}"


def _folded(name: str) -> str:
    """The name without capitals; an accented letter is one character, as which some systems write two."""
    return unicodedata.normalize("NFC", name.strip()).casefold()


def read_mapping(path: Path) -> dict[str, str | None]:
    """The mapping file at `path`: a JSON object, drawn name -> class name, "ignore" or null.

    Raises:
        BadInput: it cannot be read or is of another shape.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise BadInput(path, f"cannot be read as a class mapping ({error})") from error
    if not isinstance(data, dict) or not all(target is None or isinstance(target, str) for target in data.values()):
        raise BadInput(path, "not a class mapping", 'write {"name as drawn": "class name", "ignore" or null}')
    return data


def paint(
    regions: Sequence[Region],
    names: ClassNames,
    *,
    shape: tuple[int, int],
    background: int = IGNORE,
    order: DrawOrder = "area",
    where: str | Path = "regions",
) -> NDArray[np.uint8]:
    """The mask uint8 `[H, W]` that `regions` draw; a pixel that none covers gets `background`.

    A region drawn later covers those before. Equal areas (or equal classes) keep the order of the file.

    Raises:
        BadMask: a class is unknown, or a region lies wholly outside of the image (its coordinates are of another image or scale).
    """
    return paint_over(np.full(shape, background, dtype=np.uint8), regions, names, order=order, where=where)


def paint_over(
    below: NDArray[np.uint8], regions: Sequence[Region], names: ClassNames, *, order: DrawOrder, where: str | Path = "regions"
) -> NDArray[np.uint8]:
    """The mask `below` `[H, W]` with `regions` drawn over it, a new array; as `paint`.

    Raises:
        BadMask: a class is unknown, or a region lies wholly outside of the image.
    """
    drawn = [
        (region, value) for region in regions if (value := names.value(region.class_name, where=where, number=region.number)) is not None
    ]
    if order == "area":
        drawn.sort(key=lambda pair: -region_area(pair[0]))
    elif order == "class":
        drawn.sort(key=lambda pair: pair[1])
    mask = below.copy()
    height, width = mask.shape
    for region, value in drawn:
        touched = 0
        for polygon in region.polygons:
            window, inside = polygon_pixels(polygon, shape=(height, width))
            touched += inside.size
            mask[window][inside] = value
        if not touched:
            what = f"feature {region.number} lies outside of the image of {width} x {height} px"
            raise BadMask(where, what, "draw on the sample itself, at its full size")
    return mask


def region_area(region: Region) -> float:
    """The area of `region` in square pixels; rings that cross themselves are even-odd, overlapping parts count once."""
    return float(shapely.union_all([shape_of(polygon)[0] for polygon in region.polygons]).area)
