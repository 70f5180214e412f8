"""Small pieces and holes of a mask of class indices `[H, W]`.

A piece is connected by edges (4 neighbours); so that no line of pixels is both connected and cut, a hole is connected by corners too (8). Sizes are px.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hdgan.optional import ndimage

_WITH_CORNERS = np.ones((3, 3), dtype=bool)


def without_small_objects(mask: NDArray[np.uint8], limits: Sequence[int]) -> NDArray[np.uint8]:
    """The mask, where pieces of class i with fewer than `limits[i]` px have given each pixel to the nearest one that stays.

    Where no piece is large enough, the mask as it is.
    """
    goes = np.zeros(mask.shape, dtype=bool)
    for index, limit in enumerate(limits):
        if limit > 1:
            labels, _ = ndimage().label(mask == index)
            is_small = np.bincount(labels.ravel()) < limit
            is_small[0] = False
            goes |= is_small[labels]
    if not goes.any() or goes.all():
        return mask
    rows, columns = ndimage().distance_transform_edt(goes, return_distances=False, return_indices=True)
    found: NDArray[np.uint8] = mask[rows, columns]
    return found


def without_small_holes(mask: NDArray[np.uint8], limits: Sequence[int]) -> NDArray[np.uint8]:
    """The mask, where holes in class i with fewer than `limits[i]` px belong to it. What touches the image's edge is no hole.

    Classes take their turn by their number; a hole that an earlier one filled is gone for the later ones.
    """
    filled = mask.copy()
    for index, limit in enumerate(limits):
        if limit > 1 and (filled == index).any():
            labels, num = ndimage().label(filled != index, structure=_WITH_CORNERS)
            is_hole = np.bincount(labels.ravel(), minlength=num + 1) < limit
            for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
                is_hole[edge] = False
            is_hole[0] = False
            filled[is_hole[labels]] = index
    return filled
