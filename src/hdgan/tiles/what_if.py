"""How many tiles stay at other thresholds of background, from `cells.csv` and `slides.csv` of a finished stage: no slide is opened."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

from hdgan.errors import BadInput, DamagedArtifact
from hdgan.store.stage import read_manifest
from hdgan.tiles.cut import KEPT, UNUSABLE, Cell, verdict_of
from hdgan.tiles.hits import REGIONS, UNNAMED, Hit, read_hits
from hdgan.tiles.parts import CELLS, read_cells
from hdgan.tiles.scores import Limits

THRESHOLDS = (0.3, 0.5, 0.7)
GROUPS = ("stain", "centre", "diagnosis", "patient")
"""Columns of the slide table by which tiles are counted; by diagnosis where one is known."""
CLASS = "class"
"""Classes of outlined regions."""


@dataclass(frozen=True)
class Kept:
    """The tiles of one group."""

    group: str
    """`all`, one of `GROUPS`, or `CLASS`."""
    value: str
    num_cells: int
    num_kept: tuple[int, ...]
    """At each threshold."""


def what_if(folder: Path, thresholds: Sequence[float] = THRESHOLDS) -> tuple[Kept, ...]:
    """The counts of the finished tiles stage in `folder` for each threshold: all tiles, then by stain, centre, diagnosis, patient and
    class of outlined regions.

    Raises:
        BadInput: the stage is not finished, or a threshold is no share.
        DamagedArtifact: what it wrote cannot be read.
    """
    for threshold in thresholds:
        if not 0 <= threshold <= 1:
            raise BadInput("--at", f"{threshold:g} is no share of background", "give numbers from 0 to 1")
    settings = read_manifest(folder).config
    limits = Limits(**{field.name: settings[field.name] for field in fields(Limits) if field.name in settings})
    cells, slides, hits = read_cells(folder / CELLS), read_slides(folder / "slides.csv"), read_hits(folder / REGIONS)
    return count_kept(cells, slides, limits=limits, thresholds=thresholds, min_stains=settings.get("min_stains_per_case"), hits=hits)


def count_kept(
    cells: Sequence[Cell],
    slides: Mapping[str, Mapping[str, str]],
    *,
    limits: Limits,
    thresholds: Sequence[float],
    min_stains: int | None = None,
    hits: Sequence[Hit] = (),
) -> tuple[Kept, ...]:
    """The counts of `cells` for each threshold of background, the other limits as they are; `slides` are lines of the slide table by name.

    A cell counts for each class of outlined regions that it holds. Cells that cannot be decoded or are suspect never count as kept, nor do
    those of patients whose kept tiles have fewer than `min_stains` stains. Blur and compartments of cells that were dropped unread are not known
    and drop none.
    """
    totals: dict[tuple[str, str], int] = defaultdict(int)
    kept: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0] * len(thresholds))
    groups = [group for group in GROUPS if group != "diagnosis" or any(line.get(group) for line in slides.values())]
    stays = [_staying(cells, slides, replace(limits, max_background=threshold), min_stains) for threshold in thresholds]
    classes = _classes_of(hits)
    for index, cell in enumerate(cells):
        line = slides.get(cell.slide, {})
        held = classes.get((cell.slide, cell.x_px, cell.y_px), ())
        for key in [("all", ""), *((group, line.get(group, "") or UNNAMED) for group in groups), *((CLASS, name) for name in held)]:
            totals[key] += 1
            for number, of_threshold in enumerate(stays):
                kept[key][number] += of_threshold[index]
    order = ("all", *groups, CLASS)
    return tuple(Kept(*key, totals[key], tuple(kept[key])) for key in sorted(totals, key=lambda key: (order.index(key[0]), key[1])))


def _staying(cells: Sequence[Cell], slides: Mapping[str, Mapping[str, str]], limits: Limits, min_stains: int | None) -> list[bool]:
    """Whether each cell stays."""
    stays = [cell.verdict not in UNUSABLE and verdict_of(cell, limits) == KEPT for cell in cells]
    if min_stains is None:
        return stays
    stains: dict[str, set[str]] = defaultdict(set)
    for cell, is_kept in zip(cells, stays, strict=True):
        if is_kept:
            stains[_patient(cell, slides)].add(slides.get(cell.slide, {}).get("stain", ""))
    enough = {patient for patient, of in stains.items() if len(of - {""}) >= min_stains}
    return [is_kept and _patient(cell, slides) in enough for cell, is_kept in zip(cells, stays, strict=True)]


def _patient(cell: Cell, slides: Mapping[str, Mapping[str, str]]) -> str:
    return slides.get(cell.slide, {}).get("patient", "")


def _classes_of(hits: Sequence[Hit]) -> dict[tuple[str, int, int], list[str]]:
    """The classes that a cell holds, by its slide and corner (level-0 px)."""
    found: dict[tuple[str, int, int], list[str]] = defaultdict(list)
    for hit in hits:
        found[hit.slide, hit.x_px, hit.y_px].append(hit.class_name or UNNAMED)
    return found


def read_slides(path: Path) -> dict[str, dict[str, str]]:
    """The lines of `slides.csv` by the name of the slide.

    Raises:
        DamagedArtifact: it cannot be read.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return {line["slide"]: line for line in csv.DictReader(file)}
    except (OSError, KeyError, ValueError, csv.Error) as error:
        raise DamagedArtifact(path, f"is no slide table ({error!r})", "cut the tiles again with --redo") from error


def table(rows: Sequence[Kept], thresholds: Sequence[float]) -> tuple[list[str], list[list[str]]]:
    """Head and lines of the counts as text; the heads of the counts are the thresholds."""
    head = ["", "cells", *(f"at {threshold:g}" for threshold in thresholds)]
    names = [f"{row.group} {row.value}".strip() for row in rows]
    return head, [[name, f"{row.num_cells:,}", *(f"{num:,}" for num in row.num_kept)] for name, row in zip(names, rows, strict=True)]


def lines(rows: Sequence[Kept], thresholds: Sequence[float]) -> tuple[str, ...]:
    """The table in columns of a terminal."""
    head, body = table(rows, thresholds)
    widths = [max(len(line[column]) for line in (head, *body)) for column in range(len(head))]
    texts = []
    for line in (head, *body):
        first, *numbers = line
        texts.append(f"{first:<{widths[0]}}  " + "  ".join(f"{text:>{width}}" for text, width in zip(numbers, widths[1:], strict=True)))
    return tuple(text.rstrip() for text in texts)
