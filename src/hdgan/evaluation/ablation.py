"""What is left when a part of the method is taken away: trials, their table and their chart. Finished trials are kept.

A trial fits something and is counted on the validation and on the test images of the same split, and on those drawn at random where the split has some.
Nothing is chosen here by any; the validation images have chosen each classifier's epochs, as always, so its numbers on them are the better for it.
Format: docs/formats/ablations.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hdgan.annotations.split import RANDOM, Part, Split, parts_of
from hdgan.evaluation.compare import macro_boundary_iou, macro_hd95
from hdgan.evaluation.counts import Truth, count
from hdgan.labels import ClassMap
from hdgan.measures.intervals import bootstrap, over_same_classes
from hdgan.measures.scores import score
from hdgan.plots.figures import Chart, Line
from hdgan.progress import SILENT, Progress
from hdgan.randomness import stream
from hdgan.store.atomic import read_json, write_json
from hdgan.store.hashing import hash_json
from hdgan.store.tables import csv_text

ROWS = "rows"
SCHEMA = 2
"""2: intervals of macro Dice are over the same classes in every resample."""
COLUMNS = (
    *("what", "value", "repeat", "part", "images"),
    *("macro_dice", "macro_recall", "pixel_accuracy", "boundary_iou", "hd95_px", "quality", "step"),
    *("macro_dice_low", "macro_dice_high", "pixel_accuracy_low", "pixel_accuracy_high"),
)
RESAMPLES = 1000
"""Bootstrap resamples of the images of a part, for the intervals of a row."""

TITLES: Mapping[str, tuple[str, str]] = {
    "blocks": ("How many blocks are tapped", "last blocks of the generator"),
    "images": ("How many images are annotated", "training images, besides all validation images"),
    "heads": ("How many heads vote", "members of the ensemble"),
    "dropout": ("How much is dropped in training", "share of hidden values"),
    "head": ("A line or a network", "head"),
    "taps": ("How much each map counts", "by"),
    "presets": ("Published settings and ours", "preset"),
    "cleanup": ("How contours are cleaned up", "clean-up"),
    "controls": ("The same images, other methods", "method"),
    "snapshots": ("How good the generator is", "Frechet distance of the snapshot (left: better)"),
}
"""Title and axis of each question's chart."""

Predict = Callable[[str], np.ndarray]
"""Name of an image to a mask uint8 `[H, W]`."""


@dataclass(frozen=True)
class Fitted:
    """What a trial made: its masks by name, and what they are compared with."""

    predict: Predict
    truth: Truth
    quality: float | None = None
    """Of the generator, where the trial has another one."""
    step: float | None = None
    """Of the optimiser, where the trial chose one."""


@dataclass(frozen=True)
class Trial:
    """One row of the table before it is known. `seed` draws all that the trial draws."""

    what: str
    value: str
    repeat: int
    fit: Callable[[], Fitted] = field(compare=False)

    @property
    def stem(self) -> str:
        """Name of the file that keeps its rows."""
        return f"{self.what}-{self.value}-{self.repeat}"


Row = dict[str, Any]


def seed_of(seed: int, repeat: int) -> int:
    """The seed of a repetition; that of the run for the first."""
    return seed if repeat == 0 else int(stream(seed, "ablation.repeat", repeat).integers(2**31))


def run_trials(
    trials: Sequence[Trial], split: Split, *, distance_px: float, made_from: Mapping[str, Any], out: Path, progress: Progress = SILENT
) -> list[Row]:
    """The rows of all `trials` in their order, one for each of `measured_parts`; those that `out` keeps from the same `made_from` are not made again."""
    # Rows that were kept before there was a row for images drawn at random lack it; where none were drawn, they stay good.
    apart = {"parts": list(measured_parts(split))} if RANDOM in split else {}
    stamp = hash_json({"schema": SCHEMA, "distance_px": distance_px, **apart, **made_from})
    kept = {trial: _kept(out / ROWS / f"{trial.stem}.json", stamp) for trial in trials}
    done = sum(rows is not None for rows in kept.values())
    progress.start("trials", total=len(trials), done=done)
    found: list[Row] = []
    for trial in trials:
        rows = kept[trial]
        if rows is None:
            rows = _measure(trial, split, distance_px=distance_px)
            write_json(out / ROWS / f"{trial.stem}.json", {"made_from": stamp, "rows": rows})
            told = [row for row in rows if row["part"] != RANDOM][-1]
            progress.advance(note=f"{trial.what} {trial.value}: macro Dice {told['macro_dice'] or math.nan:.3f}")
        found += rows
    progress.finish()
    return found


def measured_parts(split: Split) -> tuple[Part, ...]:
    """The parts of a split that no trial is fitted on: validation, test, and where there are any the images drawn at random."""
    return tuple(part for part in parts_of(split) if part != "train")


def table(rows: Iterable[Row], classes: ClassMap) -> str:
    """The rows as CSV, columns `dice: <class>` and `accuracy: <class>` for each class; empty where there is no number.

    Rows that earlier versions kept lack what they did not measure.
    """
    names = [f"{title}: {name}" for title in ("dice", "accuracy") for name in classes.names]
    none = [None] * len(classes.names)
    lines = [[_cell(value) for value in (*map(row.get, COLUMNS), *row["dice"], *row.get("recall", none))] for row in rows]
    return csv_text([*COLUMNS, *names], lines)


def charts_of(rows: Sequence[Row]) -> list[Chart]:
    """A chart for each question among `rows`: mean and spread over repetitions of macro Dice and boundary IoU."""
    shown = [("macro Dice, test", "macro_dice", "test"), ("boundary IoU, test", "boundary_iou", "test")]
    shown.append(("macro Dice, validation", "macro_dice", "validate"))
    if any(row["part"] == RANDOM for row in rows):
        shown.append(("macro Dice, drawn at random", "macro_dice", RANDOM))
    found = []
    for what in dict.fromkeys(row["what"] for row in rows):
        mine = [row for row in rows if row["what"] == what]
        places = list(dict.fromkeys(row["value"] for row in mine))
        title, across = TITLES[what]
        qualities = {row["value"]: row["quality"] for row in mine}
        is_placed = what == "snapshots" and None not in qualities.values()
        if is_placed:
            places.sort(key=lambda value: qualities[value])
        elif what == "snapshots":
            across = "snapshot, images seen"
        lines = [_line(mine, places, name, column=column, part=part) for name, column, part in shown]
        is_ordered = what not in ("head", "taps", "presets", "controls", "cleanup")
        at = [float(qualities[value]) for value in places] if is_placed else None
        found.append(Chart(title, across, places, lines, is_ordered=is_ordered, at=at))
    return found


def _measure(trial: Trial, split: Split, *, distance_px: float) -> list[Row]:
    fitted = trial.fit()
    rows = []
    for part in measured_parts(split):
        names = split[part]
        if not names:
            continue
        counts = count(fitted.predict, fitted.truth, names, distance_px=distance_px)
        scores = score(counts.matrices.sum(axis=0))
        numbers = {
            "macro_dice": scores.macro_dice,
            "macro_recall": scores.macro_recall,
            "pixel_accuracy": scores.pixel_accuracy,
            "boundary_iou": macro_boundary_iou(counts.bands.sum(axis=0)),
            "hd95_px": macro_hd95(counts.hd95),
            "quality": math.nan if fitted.quality is None else fitted.quality,
            "step": math.nan if fitted.step is None else fitted.step,
        }
        macro_dice = over_same_classes(partial(_score_of, name="macro_dice"), counts.matrices)
        statistics: dict[str, Callable[[np.ndarray], float]] = {
            "macro_dice": macro_dice,
            "pixel_accuracy": partial(_score_of, name="pixel_accuracy"),
        }
        for name, statistic in statistics.items():
            low, high = bootstrap(counts.matrices, statistic, seed=trial.repeat, num=RESAMPLES)
            numbers |= {f"{name}_low": low, f"{name}_high": high}
        plain = {name: _number(value) for name, value in numbers.items()}
        about = {"what": trial.what, "value": trial.value, "repeat": trial.repeat, "part": part, "images": len(names)}
        by_class = {name: [_number(float(value)) for value in getattr(scores, name)] for name in ("dice", "recall")}
        rows.append({**about, **plain, **by_class})
    return rows


def _score_of(matrix: np.ndarray, *, name: str) -> float:
    return float(getattr(score(matrix), name))


def _kept(path: Path, stamp: str) -> list[Row] | None:
    """The rows of a trial that was finished earlier, from the same inputs and settings."""
    if not path.exists():
        return None
    data = read_json(path)
    return data["rows"] if data.get("made_from") == stamp else None


def _line(rows: Sequence[Row], places: Sequence[str], name: str, *, column: str, part: str) -> Line:
    middle, spread = [], []
    for place in places:
        values = [row[column] for row in rows if row["value"] == place and row["part"] == part and row[column] is not None]
        middle.append(float(np.mean(values)) if values else math.nan)
        spread.append(float(np.std(values)) if len(values) > 1 else 0.0)
    return Line(name, middle, spread)


def _cell(value: object) -> object:
    return "" if value is None else value


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
