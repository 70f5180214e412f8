"""Which tissue a generator was trained on: the tiles that reach into a set of labelled real pairs, which was then not held out from it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from hdgan.pipeline.steps import Run
from hdgan.slides.content import content_hash
from hdgan.store.archive import INDEX, TileRow, read_rows
from hdgan.store.stage import MANIFEST, read_manifest
from hdgan.tiles.stage import SLIDES
from hdgan.tiles.what_if import read_slides


def tiles_within(run: Run, name: str, rows: Iterable[TileRow]) -> list[TileRow]:
    """Those of the tiles `rows` of the run that share tissue with its set `name` of labelled real pairs.

    None of pairs that are given as a folder, which does not say where they lie.

    Raises:
        BadInput: the slide of the pairs cannot be read.
        DamagedArtifact: the table of the slides that were cut cannot be read.
    """
    real = run.config.real
    if real is None or real.slide is None or real.cut is None or name not in real.cut.sets:
        return []
    names, blocks = _names_of(run, real.slide), real.cut.sets[name].rows
    return [
        row for row in rows if row.slide in names and any(row.y_px < stop and row.y_px + row.level0_px > start for start, stop in blocks)
    ]


def trained_on(run: Run) -> list[TileRow]:
    """The tiles that the run's generator was trained on; none where the run has no finished tiles or generator of its own.

    Raises:
        DamagedArtifact: the index of the tiles, or a manifest, cannot be read.
    """
    tiles, generator = run.stage("tiles"), run.stage("generator")
    if not ((tiles / MANIFEST).exists() and (generator / MANIFEST).exists()):
        return []
    fold = read_manifest(generator).config.get("held_out_fold")
    return [row for row in read_rows(tiles / INDEX) if row.fold != fold]


def leak_remarks(run: Run, name: str) -> tuple[str, ...]:
    """A line where the run's generator was trained on tissue of its set `name` of labelled real pairs; else none."""
    within = tiles_within(run, name, trained_on(run))
    if not within:
        return ()
    what = "so synthetic pairs may show what the network is tested on, and real ones may not: its figures are too good"
    return (f"{len(within)} of the tiles that the generator was trained on reach into the rows of the set {name!r}, {what}.",)


def _names_of(run: Run, slide: Path) -> set[str]:
    """What the tiles call the slide: its file's name, or whatever a slide table or a pseudonym made of it, by which its content is still known."""
    cut = run.stage("tiles") / SLIDES
    if not cut.exists():  # tiles of images that were cut already
        return {slide.stem}
    content = content_hash(run.path(slide))
    return {slide.stem} | {called for called, line in read_slides(cut).items() if line.get("content") == content}
