"""Smoothed edges in index masks: between classes 1 and 4 a paint program that smooths leaves pixels of value 2 or 3, which are other classes.

Nothing tells such a pixel from one that was meant, but their number does: where nobody smoothed, classes that are not neighbours by value nearly
always meet at once; where somebody did, nearly always through a single pixel between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hdgan.labels import IGNORE

_FEWEST = 20
_LEAST_SHARE = 1 / 3


@dataclass(frozen=True)
class Meetings:
    """How often, along rows and columns, two classes whose values differ by more than 1 meet: at once, or through one pixel of a value between them."""

    at_once: int = 0
    through_one: int = 0


def meetings(mask: NDArray[np.uint8]) -> Meetings:
    """Those of the mask `[H, W]`; none across pixels that nobody labelled."""
    at_once, through_one = 0, 0
    for rows in (mask.astype(np.int16), mask.T.astype(np.int16)):
        first, second = rows[:, :-1], rows[:, 1:]
        at_once += int(np.count_nonzero((np.abs(first - second) > 1) & (first != IGNORE) & (second != IGNORE)))
        first, between, last = rows[:, :-2], rows[:, 1:-1], rows[:, 2:]
        is_between = ((first < between) & (between < last) & (last != IGNORE)) | ((first > between) & (between > last) & (first != IGNORE))
        through_one += int(np.count_nonzero(is_between))
    return Meetings(at_once, through_one)


def smoothing_note(found: Sequence[Meetings]) -> str | None:
    """A line where the masks look as if their edges were smoothed, else None."""
    at_once, through_one = sum(one.at_once for one in found), sum(one.through_one for one in found)
    if through_one < _FEWEST or through_one < _LEAST_SHARE * (at_once + through_one):
        return None
    return (
        f"at {through_one:,} of {at_once + through_one:,} places classes meet through a single pixel of a class whose value lies between theirs: "
        "if edges were smoothed (antialiased), these pixels are of wrong classes, and the masks are to be saved without"
    )
