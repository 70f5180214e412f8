"""Tables of cohorts that were never scanned: how many slides and tiles there are of whom, correlated as in life."""

from __future__ import annotations

import numpy as np

from hdgan.store.archive import TileRow
from hdgan.tiles.cases import CutSlide


def cut(patient, *, name="", centre="", stain="", diagnosis="", num_tiles=1) -> CutSlide:
    return CutSlide(name or f"{patient}-{stain}", patient, centre, stain, diagnosis, num_tiles)


def row(patient, *, centre="", stain="", fold=-1, name="t", slide="") -> TileRow:
    return TileRow(name, slide or f"{patient}-{stain}", patient, centre, stain, fold, 0, 0, 64, 64, 0.5, 0.0)


def painted_cohort(num_patients=100, seed=0) -> list[CutSlide]:
    """Patients of three centres, each with up to four stains and a number of tiles that varies a lot."""
    rng = np.random.default_rng(seed)
    slides = []
    for i in range(num_patients):
        centre = ("Rome", "Pisa", "Bern")[int(rng.choice(3, p=[0.6, 0.3, 0.1]))]
        diagnosis = ("IgAN", "MN", "control")[int(rng.choice(3, p=[0.5, 0.3, 0.2] if centre == "Rome" else [0.2, 0.3, 0.5]))]
        for stain in ("HE", "PAS", "silver", "trichrome"):
            if rng.random() < 0.8:
                slides.append(cut(f"p{i:03}", centre=centre, stain=stain, diagnosis=diagnosis, num_tiles=int(rng.integers(1, 40))))
    return slides


def rows_of(slides, fold_of=None) -> list[TileRow]:
    """A row for each tile, in the folds of their patients."""
    return [
        row(s.patient, centre=s.centre, stain=s.stain, slide=s.name, name=f"{s.name}_{n}", fold=fold_of[s.patient] if fold_of else -1)
        for s in slides
        for n in range(s.num_tiles)
    ]
