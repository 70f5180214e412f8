"""A finished stage that left out slides (`broken_slides = "skip"`) goes on when one of them was mended: that one is cut, and the others are not cut again.
So it does where one that failed when the others were cut is to be tried again (`retry_left_out`), and can be cut after all.

The manifest says which slides were left out, and what all others were made from. Where nothing but the slides left out has changed, the finished archive is
split into parts again, as they were before they were joined, and the stage is begun anew with them. The result is that of cutting everything again.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from hdgan.errors import BadInput
from hdgan.progress import Progress
from hdgan.store.archive import TileArchive, TileRow
from hdgan.store.atomic import read_json, replacing_folder, write_bytes
from hdgan.store.codec import format_of
from hdgan.store.hashing import hash_json
from hdgan.store.stage import MANIFEST, PROVENANCE, REBUILT, Manifest, read_manifest, sharing, verify
from hdgan.store.versions import own_version
from hdgan.tiles import parts
from hdgan.tiles.code import UNKNOWN
from hdgan.tiles.config import TilesConfig
from hdgan.tiles.crew import Crew
from hdgan.tiles.cut import KEPT, LEFT_OUT, UNASSIGNED, Cell, CutTile
from hdgan.tiles.encode import ASKED_FOR
from hdgan.tiles.keys import KEY_INPUT
from hdgan.tiles.parts import Status
from hdgan.tiles.plan import SlidePlan
from hdgan.tiles.report import PICTURES
from hdgan.tiles.sources import Sources, inputs_of
from hdgan.tiles.unread import UNREAD, Unread, read_unread
from hdgan.tiles.work import cut_all, part_key

RECORD = "left_out_slides"
"""Key in the counts of the manifest."""

_ALIKE = ("png", "jxl", "none")
"""Formats that the manifest does not tell apart: tiles of one are not those of another, byte by byte."""

Line = TypeVar("Line", Cell, Unread)


def record(sources: Sources) -> dict[str, Any]:
    """What the counts of a manifest say of slides left out: their names, and a hash of what all others were made from; nothing where there are none."""
    if not sources.left_out:
        return {}
    return {RECORD: {"names": sorted(sources.left_out), "others": _others(sources, sources.left_out)}}


def is_completed(out: Path, sources: Sources, config: TilesConfig, *, seed: int) -> bool:
    """Whether the stage in `out` is finished, and `sources` differ from what it was made from in slides alone that it left out.

    Its files are compared with their hashes then: what was changed since cannot be gone on with, nor tiles that were stored again in another format.
    """
    manifest = _with_slides_left_out(out, sources, config, seed=seed)
    return manifest is not None and manifest.inputs != sources.inputs and not verify(out)


def left_out_in_cutting(out: Path, sources: Sources, config: TilesConfig, *, seed: int) -> tuple[SlidePlan, ...]:
    """The slides that the finished stage in `out`, made from these `sources`, left out although they could be opened: memory may have been short."""
    manifest = _with_slides_left_out(out, sources, config, seed=seed)
    if manifest is None or manifest.inputs != sources.inputs:
        return ()
    names = set(manifest.counts[RECORD]["names"])
    return tuple(plan for plan in sources.plans if plan.entry.name in names)


def are_cut_after_all(plans: Sequence[SlidePlan], sources: Sources, out: Path, *, crew: Crew, progress: Progress) -> bool:
    """Whether some of the slides of `plans`, which the finished stage in `out` left out, now have their part there, and its files are whole.

    Raises:
        Busy: another process works in it.
        HdganError: as `work.cut_all`.
    """
    with sharing(out):
        failed = cut_all(plans, sources.config, out=out, contents=sources.inputs, crew=crew, progress=progress)
    return len(failed) < len(plans) and not verify(out)


def split(out: Path, sources: Sources) -> None:
    """Puts the slides of the finished stage in `out` that are among `sources` back into parts, but for those whose tiles were not all joined.

    Raises:
        Busy: another process works in it.
    """
    config, readers = sources.config, read_json(out / PROVENANCE).get("readers", {})
    cells, unread = _BySlide(parts.read_cells(out / parts.CELLS)), _BySlide(read_unread(out / UNREAD))
    with sharing(out), closing(TileArchive(out)) as archive:
        numbers: dict[str, list[int]] = defaultdict(list)
        for number, row in enumerate(archive.rows):
            numbers[row.slide].append(number)
        (out / parts.PARTS).mkdir(exist_ok=True)
        for plan in sources.plans:
            name = plan.entry.name
            rows = {number: archive.rows[number] for number in numbers[name]}
            key = part_key(plan, config, sources.inputs[f"slide {name}"])
            if name in readers and _is_all(plan, cells.of[name], list(rows.values()), readers[name], config):
                found = _Finished(out, archive, rows, cells.of[name], unread.of[name], readers[name])
                _write_part(plan, found, key)


@dataclass(frozen=True)
class _Finished:
    """What a finished stage holds of one slide."""

    out: Path
    archive: TileArchive
    rows: Mapping[int, TileRow]
    """By their number in the archive."""
    cells: Sequence[Cell]
    unread: Sequence[Unread]
    reader: Mapping[str, Any]
    """What the provenance says of it: what read it, how its tiles were stored, in how many seconds."""


class _BySlide(Generic[Line]):
    """Lines of a table by their slide."""

    def __init__(self, lines: Sequence[Line]) -> None:
        self.of: dict[str, list[Line]] = defaultdict(list)
        for line in lines:
            self.of[line.slide].append(line)


def _with_slides_left_out(out: Path, sources: Sources, config: TilesConfig, *, seed: int) -> Manifest | None:
    """The manifest of the stage in `out`, if it is finished, left out slides, and nothing but these may be others in `sources`."""
    if not (out / MANIFEST).exists():
        return None
    try:
        manifest, provenance = read_manifest(out), read_json(out / PROVENANCE)
        version, left = provenance["versions"]["hdgan"], manifest.counts.get(RECORD)
    except (BadInput, KeyError, TypeError):  # whoever opens the stage says so
        return None
    if left is None or version != own_version() or REBUILT in manifest.counts:
        return None
    is_same = (manifest.config, manifest.seed) == (json.loads(json.dumps(config.recorded())), seed)
    is_same &= manifest.inputs.get(KEY_INPUT) == sources.inputs.get(KEY_INPUT)
    return manifest if is_same and _others(sources, left["names"]) == left["others"] else None


def _others(sources: Sources, left_out: Sequence[str]) -> str:
    """Hash of what the slides that were not left out are made from."""
    plans = [plan for plan in sources.plans if plan.entry.name not in set(left_out)]
    return hash_json(inputs_of(plans, sources.config, sources.inputs))


def _is_all(plan: SlidePlan, cells: Sequence[Cell], rows: Sequence[TileRow], reader: Mapping[str, Any], config: TilesConfig) -> bool:
    """Whether all tiles that the slide's part had are there, as they would be cut now."""
    if tuple((cell.x_px, cell.y_px) for cell in cells) != plan.cells or any(cell.verdict == LEFT_OUT for cell in cells):
        return False
    if config.format == "auto":
        is_format = reader.get("store_reason", ASKED_FOR) != ASKED_FOR
    else:
        is_format = config.format not in _ALIKE or all(format_of(row.name) == config.format for row in rows)
    kept = [(cell.x_px, cell.y_px) for cell in cells if cell.verdict == KEPT]
    return is_format and kept == [(row.x_px, row.y_px) for row in rows] and all(row.mpp == config.mpp for row in rows)


def _write_part(plan: SlidePlan, found: _Finished, key: str) -> None:
    part = parts.part_folder(found.out, plan.entry.name)
    if parts.whole_part(part, key) is not None:  # of a time before, which was interrupted
        return

    def cut() -> Iterator[tuple[Cell, CutTile | None]]:
        tiles = iter(found.rows.items())
        for cell in found.cells:
            if cell.verdict == KEPT:
                number, row = next(tiles)
                yield cell, CutTile(replace(row, fold=UNASSIGNED), found.archive.encoded(number))
            else:
                yield cell, None

    with replacing_folder(part) as folder:
        write_bytes(folder / parts.THUMBNAIL, (found.out / PICTURES / f"{plan.entry.name}.jpg").read_bytes())
        parts.write_part(folder, cut(), found.unread)
        sizes = {file.name: file.stat().st_size for file in sorted(folder.iterdir())}
        verdicts = dict(Counter(cell.verdict for cell in found.cells))
        reader = found.reader
        status = Status(
            key,
            plan.entry.name,
            reader["reader"],
            reader["reason"],
            verdicts=verdicts,
            sizes=sizes,
            seconds=reader.get("seconds", 0.0),
            version=own_version(),
            store=reader.get("store", ""),
            store_reason=reader.get("store_reason", ""),
            stored=dict(Counter(format_of(row.name) for row in found.rows.values())),
            code=reader.get("code", UNKNOWN),
            white_note=reader.get("white_note", ""),
        )
        parts.write_status(folder, status)
