"""Samples that are drawn anew keep their names: a mask that was imported for the picture before them says nothing of the one that has its name now.

A mask from a paint program does not say which image it is of. What was imported before does: the same pixels then lay on an image whose hash is known.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from hdgan.annotations.intake import SIDECAR, CheckedMask
from hdgan.annotations.reader import AnnotationRow, AnnotationSet
from hdgan.errors import BadMask, HdganError


def refuse_redrawn(checked: Sequence[CheckedMask], *, out: Path, stated: Collection[str]) -> None:
    """Passes unless one of the `checked` masks is, pixel for pixel, that which stage folder `out` holds for the image that had its name before.

    Masks called in `stated` are of the image that is there now: their sidecar says so. So may be those of one value: any two of them are equal.

    Raises:
        BadMask: the first such mask, and how many there are.
    """
    earlier = _earlier(out)
    again = [mask for mask in checked if mask.name not in stated and _has_contours(mask) and _is_of_another(mask, earlier.get(mask.name))]
    if not again:
        return
    more = f", as {len(again) - 1} more were" if len(again) > 1 else ""
    raise BadMask(
        again[0].source,
        f"was imported before, for another image of this name{more}: the samples were drawn anew since",
        f"outline the images that are there now; where a mask fits all the same, state the image_hash of its sample in {SIDECAR}",
    )


def _earlier(out: Path) -> dict[str, AnnotationRow]:
    """What was imported last, by name; empty where nothing was, or where it can no longer be read."""
    with suppress(HdganError):
        return {row.name: row for row in AnnotationSet(out).rows}
    return {}


def _is_of_another(mask: CheckedMask, row: AnnotationRow | None) -> bool:
    return row is not None and row.image_hash != mask.image_hash and (row.proposal_hash or row.mask_hash) == mask.drawn_hash


def _has_contours(mask: CheckedMask) -> bool:
    return int(np.count_nonzero(mask.pixels)) + (mask.ignored > 0) > 1
