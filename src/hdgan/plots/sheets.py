"""Many small images on one sheet. Axes: `[H, W, 3]` uint8."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def contact_sheet(
    images: Sequence[NDArray[np.uint8]], *, columns: int | None = None, gap_px: int = 4, background: tuple[int, int, int] = (255, 255, 255)
) -> NDArray[np.uint8]:
    """The `images` in reading order on a grid as square as can be (or of `columns`), one uint8 array `[H, W, 3]`.

    Images smaller than the largest are set in the middle of their cell; nothing is scaled.

    Raises:
        ValueError: there are no images.
    """
    if not images:
        raise ValueError("a contact sheet needs images")
    across = columns or math.ceil(math.sqrt(len(images)))
    down = -(-len(images) // across)
    cell_h, cell_w = (max(image.shape[axis] for image in images) for axis in (0, 1))
    height, width = down * (cell_h + gap_px) + gap_px, across * (cell_w + gap_px) + gap_px
    sheet = np.empty((height, width, 3), dtype=np.uint8)
    sheet[:] = background
    for number, image in enumerate(images):
        row, column = divmod(number, across)
        top = gap_px + row * (cell_h + gap_px) + (cell_h - image.shape[0]) // 2
        left = gap_px + column * (cell_w + gap_px) + (cell_w - image.shape[1]) // 2
        sheet[top : top + image.shape[0], left : left + image.shape[1]] = image
    return sheet
