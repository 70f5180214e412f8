"""A folder of labelled pairs, filled and screened; killed at any moment, it is filled on to the same bytes.

Pairs are drawn in shards; `parts/<first>.json` says that a shard is whole. When all are, the rule of `screen.py` decides, `dropped.csv`
and then `pairs.csv` are written, and the files of dropped candidates removed. Format: docs/formats/dataset.md.
"""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hdgan.dataset.candidates import CandidateRow, Labeller, draw_candidate, remove_files, stem_of
from hdgan.dataset.config import DatasetConfig
from hdgan.dataset.screen import kept, num_candidates
from hdgan.errors import DamagedArtifact
from hdgan.labels import ClassMap
from hdgan.progress import SILENT, Progress
from hdgan.store.atomic import read_json, write_json, write_text
from hdgan.store.pairs import write_classes

PAIRS = "pairs.csv"
DROPPED = "dropped.csv"
PARTS = "parts"

_COLUMNS = ("stem", "candidate", "seed", "latent_hash", "image_hash", "mask_hash", "uncertainty", "ignored")


@dataclass(frozen=True)
class Screened:
    """The rows of a finished folder."""

    pairs: tuple[CandidateRow, ...]
    dropped: tuple[CandidateRow, ...]


def fill_folder(label: Labeller, config: DatasetConfig, *, out: Path, seed: int, progress: Progress = SILENT) -> Screened:
    """The `config.num` pairs in `out`, from wherever an earlier call was stopped.

    Raises:
        BadInput: the generator or the classifier gives values that are not finite.
    """
    if not (out / PAIRS).exists():
        rows = _draw_all(label, config, out=out, seed=seed, progress=progress)
        stay = set(kept([row.uncertainty for row in rows], num=config.num))
        write_rows(out / DROPPED, [row for row in rows if row.candidate not in stay], label.classes)
        write_classes(out, label.classes)
        # The list of pairs comes last: where it stands, everything is drawn and decided.
        write_rows(out / PAIRS, [row for row in rows if row.candidate in stay], label.classes)
    screened = Screened(read_rows(out / PAIRS, label.classes), read_rows(out / DROPPED, label.classes))
    for row in screened.dropped:
        remove_files(out, row.stem)
    shutil.rmtree(out / PARTS, ignore_errors=True)
    return screened


def _draw_all(label: Labeller, config: DatasetConfig, *, out: Path, seed: int, progress: Progress) -> list[CandidateRow]:
    total = num_candidates(config.num, config.drop_share)
    firsts = range(0, total, config.shard)
    parts = {first: out / PARTS / f"{stem_of(first)}.json" for first in firsts}
    done = sum(min(config.shard, total - first) for first in firsts if parts[first].exists())
    progress.start("write labelled pairs", total=total, done=done)
    rows: list[CandidateRow] = []
    for first in firsts:
        if parts[first].exists():
            rows += [CandidateRow.from_json(row) for row in read_json(parts[first])]
            continue
        shard = []
        for index in range(first, min(first + config.shard, total)):
            shard.append(draw_candidate(label, config, index, out=out, seed=seed))
            progress.advance()
        write_json(parts[first], [row.to_json() for row in shard])
        rows += shard
    progress.finish()
    return rows


def write_rows(path: Path, rows: Sequence[CandidateRow], classes: ClassMap) -> None:
    """Writes rows as CSV, one column `share: <class>` for each class; numbers with every digit they have."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow([*_COLUMNS, *(f"share: {name}" for name in classes.names)])
    for row in rows:
        table.writerow([*(getattr(row, column) for column in _COLUMNS), *row.shares])
    write_text(path, text.getvalue())


def read_rows(path: Path, classes: ClassMap) -> tuple[CandidateRow, ...]:
    """The rows of a table of `write_rows`.

    Raises:
        DamagedArtifact: it is not one, or of other classes.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            header, *lines = csv.reader(file)
        if header != [*_COLUMNS, *(f"share: {name}" for name in classes.names)]:
            raise ValueError(f"its columns are {header}")
        return tuple(_row(line) for line in lines)
    except (OSError, ValueError) as error:
        raise DamagedArtifact(path, f"is no table of pairs ({error})", "write the dataset again with --redo") from error


def _row(line: list[str]) -> CandidateRow:
    stem, candidate, seed, latent, image, mask, uncertainty, ignored, *shares = line
    return CandidateRow(
        stem, int(candidate), int(seed), latent, image, mask, float(uncertainty), float(ignored), tuple(float(share) for share in shares)
    )
