"""What is counted of a method's masks on annotated images: every score of the report is a function of these numbers.

Letters: N images, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hdgan.labels import IGNORE, ClassMap
from hdgan.measures.boundary import boundary_counts, hd95
from hdgan.measures.confusion import confusion


class Truth(Protocol):
    """What masks are compared with; an `AnnotationSet` is one."""

    @property
    def classes(self) -> ClassMap:
        """What the values of the masks mean."""

    def mask(self, name: str) -> NDArray[np.uint8]:
        """The true mask uint8 `[H, W]`; 255 is ignored."""

    def blend(self, name: str) -> NDArray[np.bool_]:
        """`[H, W]`, true where the annotator marked a blend."""


@dataclass(frozen=True)
class Counts:
    """Image by image, in the order of `names`; pixels of value 255 are in none of them."""

    names: tuple[str, ...]
    matrices: NDArray[np.int64]
    """Confusion `[N, C, C]`, rows truth, columns prediction."""
    clear: NDArray[np.int64]
    """The same without the pixels that an annotator marked as blends."""
    bands: NDArray[np.int64]
    """`[N, 2, C]`: pixels in both bands along contours, and in either (`measures.boundary`)."""
    hd95: NDArray[np.float64]
    """`[N, C]` px; nan without a contour, inf where one mask has one and the other none."""

    @property
    def has_blends(self) -> bool:
        """Whether any pixel was marked."""
        return int(self.clear.sum()) != int(self.matrices.sum())

    @classmethod
    def joined(cls, parts: Sequence[Counts]) -> Counts:
        """The images of all `parts` (at least one), in their order."""
        arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in ("matrices", "clear", "bands", "hd95")}
        return cls(tuple(name for part in parts for name in part.names), **arrays)


def count(predict: Callable[[str], np.ndarray], annotated: Truth, names: Sequence[str], *, distance_px: float) -> Counts:
    """The counts of the masks that `predict` gives for the images called `names`; bands are `distance_px` wide."""
    num_classes = len(annotated.classes)
    matrices, clear, bands, distances = [], [], [], []
    for name in names:
        truth, found, blend = annotated.mask(name), predict(name), annotated.blend(name)
        matrices.append(confusion(truth, found, num_classes))
        clear.append(confusion(np.where(blend, np.uint8(IGNORE), truth), found, num_classes) if blend.any() else matrices[-1])
        bands.append(boundary_counts(truth, found, num_classes, distance_px=distance_px))
        distances.append(hd95(truth, found, num_classes))
    return Counts(tuple(names), np.stack(matrices), np.stack(clear), np.stack(bands), np.stack(distances))
