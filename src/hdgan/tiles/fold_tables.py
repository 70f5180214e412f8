"""How slides, tiles and cases lie over the folds, as tables of the report."""

from __future__ import annotations

from collections.abc import Sequence

from hdgan.plots.page import Page
from hdgan.store.archive import TileRow
from hdgan.tiles.config import TilesConfig
from hdgan.tiles.dealing import Dealt
from hdgan.tiles.folds import fold_counts, leaks, spread

_MEANINGS = {
    "patient": "All tiles of a patient lie in one fold.",
    "centre": "Each centre is a fold, so that each can be left out.",
    "tile": "Tiles are dealt whoever they belong to",
}


def tell_folds(page: Page, rows: Sequence[TileRow], dealt: Dealt) -> None:
    """Adds slides and tiles of each fold, of all and of each stratum, and how uneven they are."""
    page.heading("Folds")
    if dealt.way == "tile":
        page.note(f"{_MEANINGS['tile']}: {len(leaks(rows)):,} patients lie in several folds.")
    else:
        page.note(_MEANINGS[dealt.way])
    lines = [
        [f"{one.kind} {one.value}".strip(), *(f"{tiles:,} ({slides:,})" for tiles, slides in zip(one.tiles, one.slides, strict=True))]
        for one in spread(rows, dealt.slides, num_folds=dealt.num_folds)
    ]
    patients = [f"{of['patients']:,}" for of in fold_counts(rows, num_folds=dealt.num_folds)]
    page.table(["tiles (slides)", *(f"fold {fold}" for fold in range(dealt.num_folds))], [*lines, ["patients", *patients]], own=[0])
    uneven = dealt.counts(rows).get("imbalance")
    if uneven:
        told = [f"{unit} {uneven[unit]['largest']:.1%} at most, {uneven[unit]['rms']:.1%} root mean square" for unit in ("slides", "tiles")]
        page.note(f"Deviation of a share from 1/{dealt.num_folds}, over all and each centre, stain and diagnosis: {'; '.join(told)}.")


def tell_cases(page: Page, rows: Sequence[TileRow], dealt: Dealt, config: TilesConfig) -> None:
    """Adds the cases by their number of stains, and each of them with its folds or why it is left out."""
    page.heading("Cases")
    rule = config.min_stains_per_case
    asked = "" if rule is None else f" Cases with fewer than {rule} stains are left out: {len(dealt.left_out):,}."
    by_stains = dealt.counts(rows)["cases"]["by_number_of_stains"]
    told = ", ".join(f"{number:,} with {stains}" for stains, number in by_stains.items())
    page.note(f"A case is a patient. By their number of stains that are known: {told}.{asked}")
    folds: dict[str, set[int]] = {}
    for row in rows:
        folds.setdefault(row.patient, set()).add(row.fold)
    lines = []
    for case in dealt.cases:
        known = [", ".join(values) for values in (case.stains, case.centres, case.diagnoses)]
        reason = dealt.left_out.get(case.patient, "" if case.num_tiles else "no tile stays")
        held = ", ".join(str(fold) for fold in sorted(folds.get(case.patient, ())))
        lines.append([case.patient, f"{len(case.slides):,}", *known, f"{case.num_tiles:,}", held, reason])
    with page.section("Every case", name="cases"):
        page.table(["patient", "slides", "stains", "centres", "diagnoses", "tiles", "folds", "left out"], lines)
