"""What the statistics of a training say while it runs: early warnings, and which state has been the best so far.

Both are functions of the rows of `stats.jsonl`, which are part of the resumable state: a training that is resumed says nothing
twice and forgets no best.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from hdgan.generator.crops import Crops
from hdgan.measures.patches import PATCH_PX, patch_distance, shrunk, stain_spread

Row = dict[str, Any]
REFERENCE_CROPS = 10**12
"""Number of the first crop that samples are compared with; no training gets there."""

_RECENT = 10
"""Reports (one for each thousand images) that a warning is judged by: one alone sees a few batches."""
_SIGN_TOO_HIGH, _SIGN_TOO_LOW = 0.9, 0.05
_VARIETY_FALL = 0.5
_NUM_PATCHES = 5000


@dataclass(frozen=True)
class Criterion:
    """A number of the statistics by which one state is better than another."""

    name: str
    is_less_better: bool


BEST = Criterion("patch_distance", is_less_better=True)
"""Patches see texture and colour, no layout and no memorised tile: the best by it is worth keeping, not proven to be the best."""


def is_best(rows: Sequence[Row], criterion: Criterion) -> bool:
    """Whether the last of the `rows` that hold the criterion's number is better than all before it."""
    values = [float(row[criterion.name]) for row in rows if criterion.name in row]
    if not values:
        return False
    *before, last = values if criterion.is_less_better else [-value for value in values]
    return all(last < value for value in before)


def concerns(rows: Sequence[Row], *, p_max: float | None) -> dict[str, str]:
    """What should worry, by kind, judged at the end of `rows`; empty while all is well or too little is known.

    `p_max` is the limit of augmentation's chance; None where it does not follow the discriminator, and says nothing.
    """
    reports = [row for row in rows if "ada_p" in row][-_RECENT:]
    found = {}
    if len(reports) == _RECENT:
        images = reports[-1]["images"]
        sign = sum(row.get("real_sign", 0.5) for row in reports) / _RECENT
        if sign > _SIGN_TOO_HIGH:
            found["real_sign_high"] = (
                f"at {images} images the discriminator is sure of {(1 + sign) / 2:.0%} of the real tiles: it learns them by heart; "
                "more tiles, a stronger augmentation or a larger gamma help"
            )
        if sign < _SIGN_TOO_LOW:
            found["real_sign_low"] = (
                f"at {images} images the discriminator holds only {(1 + sign) / 2:.0%} of the real tiles for real: it no longer tells "
                "the generator anything; a smaller gamma or a weaker augmentation help"
            )
        if p_max is not None and all(row["ada_p"] >= p_max for row in reports):
            found["p_at_cap"] = (
                f"at {images} images the chance of augmentation has stayed at its limit of {p_max:g}: the tiles are too few for this "
                "length; stop at the best grid, or add tiles"
            )
    variety = [(row["images"], row["variety"]) for row in rows if "variety" in row]
    if variety and variety[-1][1] < _VARIETY_FALL * max(value for _, value in variety):
        found["variety_falls"] = (
            f"at {variety[-1][0]} images the drawn colours vary less than half as much as they did: the generator loses stains; "
            "an earlier grid may be the one to keep"
        )
    return found


def new_concerns(rows: Sequence[Row], *, p_max: float | None) -> dict[str, str]:
    """The concerns that no row records yet."""
    said = {row["warning"] for row in rows if "warning" in row}
    return {kind: line for kind, line in concerns(rows, p_max=p_max).items() if kind not in said}


class Reference:
    """Crops of the tiles that samples are compared with, read when first asked for."""

    def __init__(self, crops: Crops, *, num: int) -> None:
        self._crops = crops
        self._num = num
        self._edge_px = 0

    def compare(self, images: np.ndarray) -> Row:
        """`variety` and, of images not too small for it, `patch_distance` of samples uint8 `[N, H, W, 3]`.

        Variety is the spread of mean colours as a share of the tiles'. Patch distance is the mean over three scales, in grey levels.
        """
        self._edge_px = images.shape[1]
        drawn = images.transpose(0, 3, 1, 2)
        row: Row = {"variety": stain_spread(drawn) / max(stain_spread(self._tiles), 1e-6)}
        scales = [factor for factor in (1, 2, 4) if self._edge_px // factor >= PATCH_PX]
        if scales:
            distances = [patch_distance(shrunk(drawn, f), shrunk(self._tiles, f), num_patches=_NUM_PATCHES) for f in scales]
            row["patch_distance"] = sum(distances) / len(distances)
        return row

    @cached_property
    def _tiles(self) -> np.ndarray:
        """`[num, 3, H, W]` float32 at the samples' size; one whole crop is held at a time: at 4096 px 36 of them are 1.8 GB."""
        small = []
        for i in range(self._num):
            crop = self._crops.crop(REFERENCE_CROPS + i).transpose(2, 0, 1)[None]
            small.append(shrunk(crop, crop.shape[2] // self._edge_px))
        return np.concatenate(small)
