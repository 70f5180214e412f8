"""How well the compartment score finds tiles that hold glomerulus: `HDGAN_DATA=... python benchmarks/tiles/compartments.py [--edge-um 256]`.

On `biopsy-a` (PAS, one patient, 12 glomeruli) against its mask. Cells overlap by three quarters and lie whole in the areas that were scanned; those
with more than half background are left out, as by default. A cell is positive when at least a tenth of it is glomerulus. The constants of the score were chosen
on the upper half of the slide; the lower half was seen during the search, but not chosen by, so it is no blind test.
AUC is the chance that a cell with glomerulus scores higher than one without;
neighbouring cells show the same glomeruli, so its interval is drawn over areas of the scan (bootstrap), and is wide. Beside it stands the
tissue share of the cell, which asks nothing.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hdgan.slides.reader import open_slide
from hdgan.slides.table import Area, SlideEntry, read_areas
from hdgan.store.atomic import read_mask
from hdgan.tiles.config import TilesConfig
from hdgan.tiles.cut import score_cells
from hdgan.tiles.plan import plan_slide
from hdgan.tiles.scores import DETAIL_MPP, measure_detail

POSITIVE = 0.1
NUM_DRAWS = 1000


@dataclass(frozen=True)
class Measured:
    """Cells of the slide, arrays `[N]`."""

    compartment: np.ndarray
    tissue: np.ndarray
    glomerulus: np.ndarray
    """Share of the cell."""
    area: np.ndarray
    """Number of the scanned area that holds the cell's middle."""
    is_upper: np.ndarray
    """In the upper half of the slide, where the constants were chosen."""


def auc(scores: np.ndarray, is_positive: np.ndarray) -> float:
    """Chance that a positive scores higher than a negative, ties counting half; nan where there is none of either."""
    positive, negative = scores[is_positive], np.sort(scores[~is_positive])
    if not len(positive) or not len(negative):
        return float("nan")
    below = np.searchsorted(negative, positive, side="left") + np.searchsorted(negative, positive, side="right")
    return float(below.mean() / 2 / len(negative))


def share_kept(scores: np.ndarray, amounts: np.ndarray) -> float:
    """Share of the sum of `amounts` in the half of the cells with the highest scores."""
    best = np.argsort(-scores, kind="stable")[: len(scores) // 2]
    return float(amounts[best].sum() / amounts.sum())


def interval(scores: np.ndarray, is_positive: np.ndarray, area: np.ndarray) -> tuple[float, float]:
    """95 % of the AUCs of resampled areas."""
    rng, areas = np.random.default_rng(0), np.unique(area)
    members = {int(number): np.flatnonzero(area == number) for number in areas}
    found = []
    for _ in range(NUM_DRAWS):
        index = np.concatenate([members[int(number)] for number in rng.choice(areas, len(areas))])
        found.append(auc(scores[index], is_positive[index]))
    low, high = np.nanpercentile(found, [2.5, 97.5])
    return float(low), float(high)


def measure(folder: Path, *, edge_um: float) -> Measured:
    """The cells of `biopsy-a` in `folder`."""
    entry = SlideEntry("biopsy-a", folder / "biopsy-a.tif", areas=read_areas(folder / "biopsy-a.scanned.csv"))
    mask = read_mask(folder / "biopsy-a.glomerulus.png") > 0
    edge_px = round(edge_um / DETAIL_MPP)
    config = TilesConfig(slides=(str(entry.path),), mpp=DETAIL_MPP, tile_px=edge_px, stride_px=max(1, edge_px // 4))
    with closing(open_slide(entry.path)) as slide:
        plan = plan_slide(slide, entry, config)
        scores = score_cells(slide, plan, config)
        rows = []
        for (x, y), background in zip(plan.cells, scores.background, strict=True):
            if background > config.max_background:
                continue
            pixels = slide.read((x, y), level0_size=plan.level0_px, out_px=config.stored_px)
            detail = measure_detail(pixels, mpp=config.mpp, dark=scores.dark)
            assert detail.compartment is not None
            middle = (x + plan.level0_px / 2, y + plan.level0_px / 2)
            truth = mask[y : y + plan.level0_px, x : x + plan.level0_px].mean()
            rows.append((detail.compartment, 1 - background, truth, _area_of(middle, entry.areas or ()), middle[1] < plan.size_px[1] / 2))
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    return Measured(columns[0], columns[1], columns[2], columns[3], columns[4].astype(bool))


def _area_of(xy: tuple[float, float], areas: tuple[Area, ...]) -> int:
    inside = (number for number, a in enumerate(areas) if a.x_px <= xy[0] < a.x_px + a.width_px and a.y_px <= xy[1] < a.y_px + a.height_px)
    return next(inside)


def main() -> None:
    """Prints a line for each half and score."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edge-um", type=float, default=256.0)
    arguments = parser.parse_args()
    if "HDGAN_DATA" not in os.environ:
        sys.exit("HDGAN_DATA is not set: the folder that holds kidney/slides/biopsy-a.tif")
    found = measure(Path(os.environ["HDGAN_DATA"]) / "kidney" / "slides", edge_um=arguments.edge_um)
    writer = csv.writer(sys.stdout, delimiter="\t", lineterminator="\n")
    writer.writerow(["half", "score", "cells", "with glomerulus", "AUC", "95 %", "glomerulus kept by the best half"])
    for half, chosen in (("upper (constants chosen)", found.is_upper), ("lower (measured)", ~found.is_upper)):
        is_positive = found.glomerulus[chosen] >= POSITIVE
        for name, scores in (("compartment", found.compartment[chosen]), ("tissue share", found.tissue[chosen])):
            low, high = interval(scores, is_positive, found.area[chosen])
            kept = share_kept(scores, found.glomerulus[chosen])
            numbers = [f"{auc(scores, is_positive):.2f}", f"{low:.2f} to {high:.2f}", f"{kept:.2f}"]
            writer.writerow([half, name, int(chosen.sum()), int(is_positive.sum()), *numbers])


if __name__ == "__main__":
    main()
