"""Blends: places where an annotator saw two tissues run into one and gave the label that fits best.

They are marked beside the masks, in `blends/<sample name>.png`, 8-bit greyscale of the sample's size: 0 is clear, any other value a blend.
A blend keeps its label and trains as any pixel; the evaluation counts with blends and without. What nobody can label is 255 in the mask itself.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hdgan.annotations.drawings import drawings_in
from hdgan.annotations.masks import read_levels
from hdgan.errors import BadMask

FOLDER = "blends"


def collect_blends(folder: Path, names: tuple[str, ...]) -> dict[str, Path]:
    """The marks in `folder` of the masks called `names`; empty where there are none.

    Raises:
        BadMask: a file is of no mask, or a picture of another type, which would be missed.
    """
    found: dict[str, Path] = {}
    if not (folder / FOLDER).is_dir():
        return found
    for name, path in drawings_in(folder / FOLDER, suffixes=(".png",), refusal=_of_another_type):
        if name not in names:
            raise BadMask(path, f"there is no mask {name!r} beside it", "add the mask or take the marks away")
        found[name] = path
    return found


def read_blend(path: Path, *, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """`[H, W]` of `shape`, true where the file marks a blend.

    Raises:
        BadMask: another format, depth, size or orientation.
    """
    marked: NDArray[np.bool_] = read_levels(path, shape=shape) != 0
    return marked


def _of_another_type(path: Path) -> BadMask:
    return BadMask(path, f"marks of type {path.suffix} are not read", "save them as PNG, 8-bit greyscale, 0 where the tissue is clear")


def drawn_blend(marked: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The marks as the stage stores them: 255 on 0."""
    return np.where(marked, np.uint8(255), np.uint8(0))
