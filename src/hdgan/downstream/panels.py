"""Pictures of how tiles were labelled: image, truth, and the masks of one or several predictors, a row for each tile."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hdgan.downstream.fit import Pairs
from hdgan.labels import ClassMap
from hdgan.plots.colours import coloured
from hdgan.plots.panels import enlarged
from hdgan.plots.sheets import contact_sheet
from hdgan.randomness import stream


def panel_sheet(
    test: Pairs, predictions: Sequence[Sequence[np.ndarray]], *, num: int, classes: ClassMap, seed: int, side_by_side: int = 1
) -> np.ndarray:
    """`num` rows (all, where there are fewer tiles) as one picture uint8 `[H, W, 3]`; `side_by_side` of them share a line. Small tiles are
    enlarged by a whole factor.

    `predictions` holds, for each predictor, a mask uint8 `[H, W]` for each pair of `test`.
    """
    cells = []
    for index in panel_order(test, num=num, num_classes=len(classes), seed=seed):
        image, truth = test.pair(index)
        masks = (truth, *(of[index] for of in predictions))
        cells += [enlarged(picture) for picture in (image, *(coloured(mask, classes) for mask in masks))]
    return contact_sheet(cells, columns=side_by_side * (2 + len(predictions)))


def panel_order(test: Pairs, *, num: int, num_classes: int, seed: int) -> tuple[int, ...]:
    """Tiles for the panels: half show the rarest class that occurs, the others are any; drawn by the seed, not by the result."""
    masks = [test.pair(index)[1] for index in range(len(test))]
    totals = np.sum([np.bincount(mask.ravel(), minlength=256)[:num_classes] for mask in masks], axis=0)
    rarest = min((index for index in range(num_classes) if totals[index]), key=lambda index: int(totals[index]), default=0)
    order = [int(index) for index in stream(seed, "downstream.panels").permutation(len(masks))]
    with_rarest = [index for index in order if (masks[index] == rarest).any()][: (num + 1) // 2]
    others = [index for index in order if index not in with_rarest]
    return tuple((with_rarest + others)[:num])
