"""How much of each class was drawn, where, and what is missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdgan.annotations.split import Part, Split, missing_classes, parts_of
from hdgan.labels import IGNORE, ClassMap

_CONSEQUENCES: Mapping[Part, str] = {"train": ": the classifier cannot learn that", "test": ": nothing is measured of that"}


@dataclass(frozen=True)
class Audit:
    """Pixels of each class in each mask (int64 `[num_classes]`), ignored pixels, and the split they are seen by."""

    classes: ClassMap
    split: Split
    pixels: Mapping[str, NDArray[np.int64]]
    ignored: Mapping[str, int]

    def part_pixels(self, part: Part) -> NDArray[np.int64]:
        """Pixels of each class in all masks of `part`."""
        return np.sum([self.pixels[name] for name in self.split[part]], axis=0, dtype=np.int64) + np.zeros(len(self.classes), np.int64)

    @property
    def missing(self) -> dict[Part, tuple[str, ...]]:
        """For each part the names of the classes that it does not show."""
        rows = missing_classes(presence(self.pixels), self.split, num_classes=len(self.classes))
        return {part: tuple(self.classes.names[value] for value in rows[part]) for part in rows}

    def warnings(self) -> list[str]:
        """One line for each part that has images but lacks classes, and one where no two classes are told apart."""
        lines = [
            f"the {part} part has no pixel of {', '.join(map(repr, names))}{_CONSEQUENCES.get(part, '')}"
            for part, names in self.missing.items()
            if names and self.split[part]
        ]
        shown = np.nonzero(np.sum([*self.pixels.values()], axis=0))[0] if self.pixels else np.zeros(0, np.int64)
        if len(shown) == 1 and any(self.ignored.values()):
            lines.append(
                f"all labelled pixels are {self.classes.names[int(shown[0])]!r}, all others count as not annotated ({IGNORE}): give masks the index "
                "of a class as value, and name the class of what no outline covers in annotations.background"
            )
        return lines

    def to_json(self) -> dict[str, Any]:
        """Plain data, as stored in `audit.json`."""
        names = self.classes.names
        images = {
            name: {**dict(zip(names, counts.tolist(), strict=True)), "ignored": self.ignored[name]}
            for name, counts in sorted(self.pixels.items())
        }
        parts = {
            part: {
                "images": len(self.split[part]),
                "pixels": dict(zip(names, self.part_pixels(part).tolist(), strict=True)),
                "ignored": sum(self.ignored[name] for name in self.split[part]),
                "missing": list(self.missing[part]),
            }
            for part in parts_of(self.split)
        }
        return {"schema": 1, "parts": parts, "images": images}


def count_pixels(mask: NDArray[np.uint8], classes: ClassMap) -> tuple[NDArray[np.int64], int]:
    """Pixels of each class in `mask` (int64 `[num_classes]`) and the ignored ones."""
    counts = np.bincount(mask.ravel(), minlength=256).astype(np.int64)
    return counts[: len(classes)], int(counts[IGNORE])


def presence(pixels: Mapping[str, NDArray[np.int64]]) -> dict[str, frozenset[int]]:
    """The classes with at least one pixel in each mask."""
    return {name: frozenset(np.nonzero(counts)[0].tolist()) for name, counts in pixels.items()}
