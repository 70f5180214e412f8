"""Who is left out and which tile lies in which fold, once the slides are cut.

A case (a patient) with fewer stains than asked for is left out: before its slides are cut where the slide table says so already, and after
that where a stain keeps no tile.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hdgan.errors import BadInput
from hdgan.store.archive import TileRow
from hdgan.tiles import folds
from hdgan.tiles.cases import Case, CutSlide, case_table, cut_slides, gather, lacking_stains, stain_counts
from hdgan.tiles.config import TilesConfig
from hdgan.tiles.cut import KEPT, LEFT_OUT, Cell
from hdgan.tiles.plan import SlidePlan, without_stains

_LINES = 20
"""Cases that are told one by one; `cases.csv` has them all."""


@dataclass(frozen=True)
class Choice:
    """The slides to cut, and the cases that are left out before."""

    plans: tuple[SlidePlan, ...]
    unused: tuple[SlidePlan, ...]
    """Slides of those cases."""
    left_out: dict[str, str]
    """Why, by patient."""


@dataclass(frozen=True)
class Dealt:
    """The folds, and everything that is known of the cases."""

    slides: tuple[CutSlide, ...]
    """Those whose tiles are dealt."""
    cases: tuple[Case, ...]
    """All, those left out too."""
    left_out: dict[str, str]
    """Why a case is left out, by patient."""
    fold_of: dict[str, int]
    """Fold of each tile by its name; those left out have none."""
    num_folds: int
    way: str
    """`patient`, `centre` or `tile`."""

    def marked(self, cells: Iterable[Cell]) -> tuple[Cell, ...]:
        """The cells, those that would stay of cases left out with the verdict `LEFT_OUT`."""
        used = {slide.name for slide in self.slides}
        return tuple(cell if cell.slide in used or cell.verdict != KEPT else replace(cell, verdict=LEFT_OUT) for cell in cells)

    def folded(self, rows: Iterable[TileRow]) -> tuple[TileRow, ...]:
        """The rows with their folds, without those of cases left out."""
        return tuple(replace(row, fold=self.fold_of[row.name]) for row in rows if row.name in self.fold_of)

    def table(self, rows: Sequence[TileRow]) -> str:
        """`cases.csv`."""
        return case_table(self.cases, rows, self.left_out)

    def warnings(self, rows: Sequence[TileRow]) -> tuple[str, ...]:
        """What is not as one would wish, a line each."""
        return folds.fold_warnings(rows, self.slides, num_folds=self.num_folds, kept_together=self.way)

    def counts(self, rows: Sequence[TileRow]) -> dict[str, Any]:
        """What the manifest says about cases and folds."""
        found: dict[str, Any] = {
            "cases": {"left_out": len(self.left_out), "by_number_of_stains": stain_counts(self.cases)},
            "folds": folds.fold_counts(rows, num_folds=self.num_folds),
        }
        if self.way == "patient":
            fold_of = {row.patient: row.fold for row in rows}
            found["imbalance"] = folds.imbalance(self.slides, fold_of, num_folds=self.num_folds)
        return found


def choose(plans: Sequence[SlidePlan], config: TilesConfig) -> Choice:
    """The slides of cases that have the stains asked for, as far as the slide table and the sizes of the slides tell.

    Raises:
        BadInput: no case has them, or folds are by centre and centres are unknown, one, or shared by a patient.
    """
    left_out = without_stains(plans, min_stains=config.min_stains_per_case)
    used = tuple(plan for plan in plans if plan.entry.patient not in left_out)
    if plans and not used:
        raise _none_left(gather(_as_planned(plans)), config)
    if config.folds == "centre":
        folds.by_centre(_as_planned(used))
    return Choice(used, tuple(plan for plan in plans if plan.entry.patient in left_out), left_out)


def deal_tiles(choice: Choice, rows: Sequence[TileRow], config: TilesConfig, *, seed: int) -> Dealt:
    """The folds of the tiles `rows`, which have none yet.

    Raises:
        BadInput: no case has the stains asked for.
    """
    slides = cut_slides((plan.entry for plan in choice.plans), Counter(row.slide for row in rows))
    dealt = deal_slides(slides, rows, config, seed=seed)
    unused = (replace(case, num_tiles=0) for case in gather(_as_planned(choice.unused)))
    every = tuple(sorted((*dealt.cases, *unused), key=lambda case: case.patient))
    return replace(dealt, cases=every, left_out={**choice.left_out, **dealt.left_out})


def deal_slides(slides: Sequence[CutSlide], rows: Sequence[TileRow], config: TilesConfig, *, seed: int) -> Dealt:
    """The folds of the tiles `rows` of `slides`.

    Raises:
        BadInput: no case has the stains asked for, or folds are by centre and centres are unknown, one, or shared by a patient.
    """
    cases = gather(slides)
    left_out = lacking_stains((case for case in cases if case.num_tiles), min_stains=config.min_stains_per_case)
    if len(left_out) == sum(1 for case in cases if case.num_tiles):
        raise _none_left(cases, config)
    used = tuple(slide for slide in slides if slide.patient not in left_out)
    dealt = [row for row in rows if row.patient not in left_out]
    # Centres are numbered as planned: one that keeps no tile leaves its fold empty, and the others where they were.
    of_centre = folds.by_centre(slides) if config.folds == "centre" else {}
    fold_of, num_folds = _folds(dealt, used, of_centre, config, seed=seed)
    reasons = {patient: f"{why}, counting those with tiles" for patient, why in left_out.items()}
    return Dealt(used, cases, reasons, fold_of, num_folds, config.folds)


def told(left_out: Mapping[str, str]) -> list[str]:
    """A line for each case left out, the first of them where there are many."""
    lines = [f"left out: patient {patient} {why}" for patient, why in sorted(left_out.items())]
    rest = len(lines) - _LINES
    return lines if rest <= 0 else [*lines[:_LINES], f"left out: {rest} more patients, all in cases.csv"]


def _as_planned(plans: Sequence[SlidePlan]) -> tuple[CutSlide, ...]:
    """The slides, as if every cell stayed."""
    return cut_slides((plan.entry for plan in plans), {plan.entry.name: len(plan.cells) for plan in plans})


def _folds(
    rows: Sequence[TileRow], slides: Sequence[CutSlide], of_centre: Mapping[str, int], config: TilesConfig, *, seed: int
) -> tuple[dict[str, int], int]:
    """The fold of each tile by its name, and how many folds there are."""
    if config.folds == "tile":
        return folds.by_tile(rows, slides, num_folds=config.num_folds, seed=seed), config.num_folds
    if config.folds == "centre":
        return {row.name: of_centre[row.centre] for row in rows}, len(of_centre)
    of_patient = folds.by_patient(slides, num_folds=config.num_folds, seed=seed)
    return {row.name: of_patient[row.patient] for row in rows}, config.num_folds


def _none_left(cases: Sequence[Case], config: TilesConfig) -> BadInput:
    found = ", ".join(f"{number} with {stains}" for stains, number in stain_counts(cases).items())
    what = f"no case has the {config.min_stains_per_case} stains asked for; cases by their number of stains: {found}"
    return BadInput("tiles.min_stains_per_case", what, "ask for fewer, or fill the column `stain` of the slide table")
