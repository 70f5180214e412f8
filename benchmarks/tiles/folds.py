"""Folds of patients: ours against scikit-learn's StratifiedGroupKFold, on painted cohorts.

`python benchmarks/tiles/folds.py [--seeds 5] [--patients 100] [--folds 5] [--out FILE]`; needs scikit-learn. A cohort is a table without slides: patients of
three unequal centres with six diagnoses that depend on the centre, up to four stains (two are rare at the smallest centre), and numbers of slides and of
tiles that vary with the size of the patient's biopsy. At 100 patients it has about 1,600 slides and 34,000 tiles.

Measures, for slides and for tiles: of each stratum in each fold the share less 1/k; the largest absolute value, and the root mean square, over
- values: all, each centre, each stain, each diagnosis;
- cells: the combinations of the three that at least k patients have (fewer cannot be in every fold);
- every: both, and the rarer combinations too, which no deal can spread.

scikit-learn deals each cohort twice, with slides and with tiles as samples, the combination as class and the patient as group, shuffled by the same seed.
A ratio is ours over the better of its two, for each measure on its own; ours is one deal. Seconds are of the wall.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from hdgan.tiles.balance import deviations
from hdgan.tiles.cases import CutSlide
from hdgan.tiles.folds import Strata, by_patient, strata

CENTRES = ("Rome", "Pisa", "Bern")
STAINS = ("HE", "PAS", "silver", "trichrome")
DIAGNOSES = ("IgAN", "MN", "FSGS", "DN", "LN", "control")
OF_CENTRE = (0.6, 0.3, 0.1)
OF_DIAGNOSIS = ((0.35, 0.2, 0.15, 0.15, 0.1, 0.05), (0.1, 0.2, 0.3, 0.2, 0.1, 0.1), (0.05, 0.05, 0.1, 0.2, 0.5, 0.1))
SLIDES_OF_STAIN = (4, 5, 4, 3)
TILES_PER_SLIDE = 17


def painted(num_patients: int, *, seed: int) -> list[CutSlide]:
    """A cohort."""
    rng = np.random.default_rng(seed)
    slides = []
    for number in range(num_patients):
        centre = int(rng.choice(3, p=OF_CENTRE))
        diagnosis = DIAGNOSES[int(rng.choice(6, p=OF_DIAGNOSIS[centre]))]
        size = rng.lognormal(0, 0.5)
        for i, stain in enumerate(STAINS):
            usual = 0.2 if CENTRES[centre] == "Bern" and i >= 2 else 1.0
            for n in range(int(rng.poisson(SLIDES_OF_STAIN[i] * usual * size**0.5))):
                patient, num_tiles = f"p{number:05}", max(1, int(rng.poisson(TILES_PER_SLIDE * size)))
                slides.append(CutSlide(f"{patient}-{stain}-{n}", patient, CENTRES[centre], stain, diagnosis, num_tiles))
    return slides


def by_sklearn(slides: list[CutSlide], *, unit: str, num_folds: int, seed: int) -> dict[str, int]:
    """The fold of each patient."""
    times = [1 if unit == "slides" else slide.num_tiles for slide in slides]
    classes = np.repeat([f"{slide.centre}/{slide.stain}/{slide.diagnosis}" for slide in slides], times)
    patients = np.repeat([slide.patient for slide in slides], times)
    splits = StratifiedGroupKFold(num_folds, shuffle=True, random_state=seed).split(classes, classes, patients)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)  # rare combinations are part of the task
        return {patient: fold for fold, (_, test) in enumerate(splits) for patient in np.unique(patients[test]).tolist()}


def measures(found: Strata, fold_of: dict[str, int], *, num_folds: int) -> dict[str, float]:
    """Largest and root-mean-square deviation, by unit and kind of strata."""
    away = deviations(found.counts, np.array([fold_of[patient] for patient in found.patients]), num_folds=num_folds)
    is_cell = np.array([kind == "cell" for _, kind, _ in found.names])
    is_common = (found.counts > 0).sum(axis=0) >= num_folds
    told = {}
    for unit in ("slides", "tiles"):
        is_unit = np.array([name[0] == unit for name in found.names])
        for kind, chosen in (("values", ~is_cell), ("cells", is_cell & is_common), ("every", np.ones_like(is_cell))):
            of = away[is_unit & chosen]
            told[f"{unit} {kind} largest"] = float(np.abs(of).max()) if of.size else 0.0
            told[f"{unit} {kind} rms"] = float(np.sqrt((of**2).mean())) if of.size else 0.0
    return told


def compare(num_patients: int, *, num_folds: int, seed: int) -> dict[str, object]:
    """One cohort, dealt three times."""
    slides = painted(num_patients, seed=seed)
    found = strata(slides)
    ways: dict[str, Callable[[], dict[str, int]]] = {
        "ours": lambda: by_patient(slides, num_folds=num_folds, seed=seed),
        "sklearn on slides": lambda: by_sklearn(slides, unit="slides", num_folds=num_folds, seed=seed),
        "sklearn on tiles": lambda: by_sklearn(slides, unit="tiles", num_folds=num_folds, seed=seed),
    }
    seconds, told = {}, {}
    for name, way in ways.items():
        begun = time.perf_counter()
        fold_of = way()
        seconds[name] = round(time.perf_counter() - begun, 2)
        told[name] = measures(found, fold_of, num_folds=num_folds)
    best = {key: min(told["sklearn on slides"][key], told["sklearn on tiles"][key]) for key in told["ours"]}
    ratios = {key: value / best[key] if best[key] else 1.0 for key, value in told["ours"].items()}
    counts = {"patients": len(found.patients), "slides": len(slides), "tiles": sum(slide.num_tiles for slide in slides)}
    return {"seed": seed, **counts, "seconds": seconds, "measures": told, "ratios": ratios}


def main() -> None:
    """Prints the deviations, and the ratio to scikit-learn's better one, for each seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--patients", type=int, default=100)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rows = [compare(options.patients, num_folds=options.folds, seed=seed) for seed in range(options.seeds)]
    for row in rows:
        print(f"seed {row['seed']}: {row['patients']} patients, {row['slides']} slides, {row['tiles']} tiles; seconds {row['seconds']}")
    print(f"{'mean over seeds':24} {'ours':>8} {'skl slides':>11} {'skl tiles':>10}   ratio: mean, and each seed")
    for key in rows[0]["ratios"]:
        means = [np.mean([row["measures"][way][key] for row in rows]) for way in ("ours", "sklearn on slides", "sklearn on tiles")]
        ratios = [row["ratios"][key] for row in rows]
        each = " ".join(f"{ratio:.2f}" for ratio in ratios)
        print(f"{key:24} {means[0]:8.4f} {means[1]:11.4f} {means[2]:10.4f}   {np.mean(ratios):.2f}  ({each})")
    if options.out:
        options.out.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
