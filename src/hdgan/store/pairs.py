"""Images with masks: `images/<stem>.png`, `masks/<stem>.png`, `classes.json`. Format: docs/formats/dataset.md."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hdgan.errors import BadInput, BadMask
from hdgan.labels import IGNORE, ClassMap, read_class_map
from hdgan.store.atomic import read_image, read_mask, write_json, write_png

IMAGES = "images"
MASKS = "masks"
CLASSES = "classes.json"


class PairFolder:
    """Pairs in the order of their stems, read-only."""

    def __init__(self, folder: Path) -> None:
        """Opens a folder of pairs.

        Raises:
            BadInput: an image lacks its mask, a mask its image, or there are none.
        """
        self.folder = folder
        self.classes = read_class_map(folder / CLASSES)
        images = {path.stem for path in (folder / IMAGES).glob("*.png")}
        masks = {path.stem for path in (folder / MASKS).glob("*.png")}
        lonely = sorted(images ^ masks)
        if lonely:
            raise BadInput(
                folder, f"{len(lonely)} images or masks without partner ({lonely[0]}, ...)", "give each image a mask of the same name"
            )
        if not images:
            raise BadInput(folder, "no pairs in images/ and masks/")
        self.stems = tuple(sorted(images))

    def __len__(self) -> int:
        """The number of pairs."""
        return len(self.stems)

    def image(self, stem: str) -> np.ndarray:
        """Pixels `[H, W, 3]` uint8."""
        return read_image(self.folder / IMAGES / f"{stem}.png")

    def mask(self, stem: str) -> np.ndarray:
        """Class indices `[H, W]` uint8.

        Raises:
            BadMask: it holds a value that is neither a class nor 255.
        """
        path = self.folder / MASKS / f"{stem}.png"
        mask = read_mask(path)
        foreign = np.unique(mask[(mask >= len(self.classes)) & (mask != IGNORE)])
        if foreign.size:
            raise BadMask(path, f"has label {int(foreign[0])}", f"labels are 0 to {len(self.classes) - 1} and {IGNORE}")
        return mask


def write_pair(folder: Path, stem: str, image: np.ndarray, mask: np.ndarray) -> None:
    """Writes one pair, the mask last: an image without a mask is an unfinished pair."""
    if image.shape[:2] != mask.shape:
        raise ValueError(f"image {image.shape} and mask {mask.shape} differ in size")
    write_png(folder / IMAGES / f"{stem}.png", image)
    write_png(folder / MASKS / f"{stem}.png", mask)


def write_classes(folder: Path, classes: ClassMap) -> None:
    """Writes the class map beside the pairs."""
    write_json(folder / CLASSES, classes.to_json())
