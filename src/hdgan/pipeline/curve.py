"""How a training came along: distance from real crops and variety by images seen, from the generator's own `stats.jsonl`.

Reads nothing but the statistics, so it works while the training goes on. Format: docs/formats/quality.md.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from hdgan.errors import BadInput, DamagedArtifact
from hdgan.generator.statistics import STATS
from hdgan.pipeline.subject import FOLDER
from hdgan.plots.figures import Chart, Line, charts
from hdgan.store.atomic import write_json, write_png
from hdgan.store.layout import RunFolder

PICTURE, NUMBERS = "training.png", "training.json"
SCHEMA = 1
_COLUMNS = ("quality", "quality_floor", "variety", "patch_distance")


def stats_of(root: Path) -> Path:
    """Where the statistics of the run's training lie."""
    return RunFolder(root).folder("generator") / STATS


def write_curve(root: Path) -> tuple[Path, Path]:
    """Picture and numbers of the curve of the run in `root`.

    Raises:
        BadInput: the training has made no grid yet, or kept no statistics.
        DamagedArtifact: the statistics are not ours.
    """
    rows = [row for row in _read(stats_of(root)) if "variety" in row]
    if not rows:
        raise BadInput(stats_of(root), "no grid has been made yet", "let the training go on until its first grid")
    rows = list({row["images"]: row for row in rows}.values())
    told: dict[str, Any] = {"images": [row["images"] for row in rows]}
    told |= {name: [row.get(name) for row in rows] for name in _COLUMNS}
    if best := [row for row in rows if "quality" in row]:
        least = min(best, key=lambda row: row["quality"])
        told["least"] = {name: least[name] for name in ("images", "quality", "quality_floor")}
    picture, numbers = root / FOLDER / PICTURE, root / FOLDER / NUMBERS
    write_json(numbers, {"schema": SCHEMA, **told})
    write_png(picture, charts(_charts(told)))
    return picture, numbers


def _charts(told: dict[str, Any]) -> list[Chart]:
    """Distance beside its floor, where it was measured, and variety beside that of the tiles."""
    at = [images / 1000 for images in told["images"]]
    places = [f"{place:g}" for place in at]

    def line(name: str, values: list[float | None]) -> Line:
        return Line(name, [math.nan if value is None else value for value in values], [0.0] * len(values))

    variety = [line("samples", told["variety"]), line("real tiles", [1.0] * len(at))]
    found = [Chart("Spread of mean colours, share of the tiles'", "thousand images", places, variety, at=at)]
    if any(value is not None for value in told["quality"]):
        distance = [line("samples", told["quality"]), line("real against real", told["quality_floor"])]
        found.insert(0, Chart("Frechet distance from real crops", "thousand images", places, distance, at=at, is_log=True))
    return found


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise BadInput(path, f"cannot be read ({error})", "begin the training: hdgan train RUN") from error
    try:
        rows = [json.loads(line) for line in lines]
    except ValueError as error:
        raise DamagedArtifact(path, f"holds a line that is not ours ({error})", "resume the training, which writes it anew") from error
    if not all(isinstance(row, dict) and isinstance(row.get("images"), int) for row in rows):
        raise DamagedArtifact(path, "holds a line without images", "resume the training, which writes it anew")
    return rows
