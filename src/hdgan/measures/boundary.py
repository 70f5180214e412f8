"""How well contours fit: boundary IoU (Cheng et al. 2021, arXiv 2103.16562) and the 95 % Hausdorff distance, per class.

Masks are `[H, W]` of class indices; distances are between pixel centres. A contour runs between pixels of a class and known pixels of another:
neither the edge of the image nor a pixel that nobody labelled (255 in the truth) is one, and such pixels count nowhere. This differs from the authors'
own code, where the edge of the image is a contour too: on whole tiles that part is always right, and would flatter.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from hdgan.errors import BadMask
from hdgan.labels import IGNORE
from hdgan.optional import ndimage, require

DIAGONAL_SHARE = 0.02
"""Width of the band as a share of the image's diagonal, as the authors set it."""


def usual_distance_px(size_px: int) -> float:
    """Width of the band for images of edge `size_px`: 2 % of the diagonal, at least 1 px."""
    return max(1.0, DIAGONAL_SHARE * math.hypot(size_px, size_px))


def boundary_iou(truth: NDArray[np.uint8], prediction: NDArray[np.uint8], num_classes: int, *, distance_px: float) -> NDArray[np.float64]:
    """`[C]`: of the pixels of a class that are at most `distance_px` from its contour, those of both masks over those of either.

    nan where neither mask has a contour of the class.

    Raises:
        BadMask: the masks differ in shape, or `distance_px` is below 1.
    """
    both, either = boundary_counts(truth, prediction, num_classes, distance_px=distance_px)
    return pooled_boundary_iou(np.stack([both, either]))


def pooled_boundary_iou(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """`[C]` of counts `[2, C]` as `boundary_counts` gives them, summed over images; nan where there is no contour."""
    both, either = counts.astype(np.float64)
    ratio: NDArray[np.float64] = np.divide(both, either, out=np.full_like(both, np.nan), where=either > 0)
    return ratio


def boundary_counts(truth: NDArray[np.uint8], prediction: NDArray[np.uint8], num_classes: int, *, distance_px: float) -> NDArray[np.int64]:
    """`[2, C]` int64: pixels in both bands, and in either; sums over images are the counts of all of them.

    Raises:
        BadMask: the masks differ in shape, or `distance_px` is below 1.
    """
    if distance_px < 1:
        raise BadMask("boundary", f"a band of {distance_px:g} px holds no pixel", "use 1 px or more")
    counted = _counted(truth, prediction)
    counts = np.zeros((2, num_classes), dtype=np.int64)
    for index in range(num_classes):
        bands = [_band(mask == index, counted, distance_px) for mask in (truth, prediction)]
        counts[:, index] = np.count_nonzero(bands[0] & bands[1]), np.count_nonzero(bands[0] | bands[1])
    return counts


def hd95(truth: NDArray[np.uint8], prediction: NDArray[np.uint8], num_classes: int) -> NDArray[np.float64]:
    """`[C]` px: within this distance lie 95 % of each mask's contour pixels from the other's, the larger of both directions.

    nan where neither mask has a contour of the class, inf where one of them has none.

    Raises:
        BadMask: the masks differ in shape.
    """
    counted = _counted(truth, prediction)
    return np.array([_hausdorff(*(_contour(mask == index, counted) for mask in (truth, prediction))) for index in range(num_classes)])


def distance_to_contour(truth: NDArray[np.uint8]) -> NDArray[np.float32]:
    """`[H, W]` px from each labelled pixel to the nearest known pixel of another class (1: beside it); inf where there is none, nan at 255."""
    counted = truth != IGNORE
    found = np.full(truth.shape, np.inf, dtype=np.float32)
    for index in np.unique(truth[counted]):
        others = counted & (truth != index)
        if others.any():
            inside = truth == index
            found[inside] = ndimage().distance_transform_edt(~others)[inside]
    found[~counted] = np.nan
    return found


def _counted(truth: NDArray[np.uint8], prediction: NDArray[np.uint8]) -> NDArray[np.bool_]:
    if truth.shape != prediction.shape:
        raise BadMask("masks", f"truth {truth.shape} and prediction {prediction.shape} differ in size")
    counted: NDArray[np.bool_] = truth != IGNORE
    return counted


def _band(inside: NDArray[np.bool_], counted: NDArray[np.bool_], distance_px: float) -> NDArray[np.bool_]:
    """The counted pixels `inside` that are at most `distance_px` from a counted one outside."""
    band = np.zeros_like(inside)
    inside = inside & counted
    window = _window(inside, margin=math.ceil(distance_px))
    if window is None:
        return band
    others = counted[window] & ~inside[window]
    if others.any():  # else the transform would measure to nowhere
        band[window] = inside[window] & (ndimage().distance_transform_edt(~others) <= distance_px)
    return band


def _contour(inside: NDArray[np.bool_], counted: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Rows and columns `[P, 2]` of the counted pixels `inside` that have a counted neighbour outside, up, down, left or right."""
    inside = inside & counted
    others = counted & ~inside
    beside = np.zeros_like(inside)
    beside[1:] |= others[:-1]
    beside[:-1] |= others[1:]
    beside[:, 1:] |= others[:, :-1]
    beside[:, :-1] |= others[:, 1:]
    return np.argwhere(inside & beside)


def _hausdorff(a: NDArray[np.intp], b: NDArray[np.intp]) -> float:
    if not len(a) and not len(b):
        return math.nan
    if not len(a) or not len(b):
        return math.inf
    tree = require("scipy.spatial", extra="gan").cKDTree
    ways = (tree(b).query(a)[0], tree(a).query(b)[0])
    return float(max(np.percentile(way, 95) for way in ways))


def _window(inside: NDArray[np.bool_], *, margin: int) -> tuple[slice, slice] | None:
    """The rows and columns that hold `inside`, and `margin` px around; None where it is empty."""
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    if not len(rows):
        return None
    first, last = (slice(max(0, int(found[0]) - margin), int(found[-1]) + margin + 1) for found in (rows, columns))
    return first, last
