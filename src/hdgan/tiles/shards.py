"""A share of the slides of a stage, cut apart from the others: on another machine, at the same time, or later.

A shard leaves the parts of its slides in the stage folder and seals nothing; `run_tiles` finds them and joins all. Which slides are whose
depends on names alone, not on what is finished.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from hdgan.errors import BadConfig, BadInput, Busy, StaleStage
from hdgan.progress import SILENT, Progress
from hdgan.slides.pseudonyms import HidingProgress, hiding
from hdgan.slides.table import SlideEntry
from hdgan.store.atomic import remove_leftover_folders
from hdgan.store.hashing import hash_bytes
from hdgan.store.stage import MANIFEST, begun_with, holding, is_held, sharing
from hdgan.tiles import parts
from hdgan.tiles.attempts import counting_attempts
from hdgan.tiles.code import is_of_other_code
from hdgan.tiles.config import TilesConfig
from hdgan.tiles.crew import Crew
from hdgan.tiles.hiring import open_crew
from hdgan.tiles.keys import find_entries, stage_pseudonyms
from hdgan.tiles.plan import SlidePlan, plan_by_name, scaled, without_stains
from hdgan.tiles.regions import region_inputs
from hdgan.tiles.sources import refuse_broken
from hdgan.tiles.work import contents_of, cut_all

_WRITTEN = re.compile(r"([1-9]\d{0,5})/([1-9]\d{0,5})")


@dataclass(frozen=True)
class Shard:
    """Share `number` (from 1) of `of`."""

    number: int
    of: int

    def deal(self, entries: Sequence[SlideEntry]) -> tuple[SlideEntry, ...]:
        """Its slides, in the order of `entries`. In shuffled order, or the stains of a case, which follow each other, would each meet one shard."""
        shuffled = sorted(entries, key=lambda entry: hash_bytes(entry.name.encode()))
        mine = {entry.name for entry in shuffled[self.number - 1 :: self.of]}
        return tuple(entry for entry in entries if entry.name in mine)


def read_shard(text: str) -> Shard:
    """The shard that `text` such as "3/8" names.

    Raises:
        BadConfig: it names none.
    """
    found = _WRITTEN.fullmatch(text)
    if found is None or int(found[1]) > int(found[2]):
        raise BadConfig("--shard", f"{text!r} is no share", 'write number and count, such as "3/8": from 1/8 to 8/8')
    return Shard(int(found[1]), int(found[2]))


@dataclass(frozen=True)
class ShardDone:
    """What became of a shard."""

    num_slides: int
    """But for those of cases that are left out."""
    problems: tuple[BadInput, ...]
    """Why slides are without a part; whoever joins tries them again."""
    was_finished: bool
    """The whole stage was finished before, from the same settings and slides."""


def cut_shard(
    config: TilesConfig,
    shard: Shard,
    *,
    out: Path,
    seed: int,
    base: Path,
    redo: bool = False,
    limit_s: float | None = None,
    progress: Progress = SILENT,
) -> ShardDone:
    """Cuts the share of `shard` into parts below the stage folder `out`, where they are not there yet. `limit_s` is the time limit of the job, where
    there is one that is known.

    Raises:
        BadInput: a slide is broken, and broken slides stop the job.
        StaleStage: the stage was made or begun from something else and `redo` is false; the parts of a redo are joined by a redo.
        Busy: somebody joins the stage or cuts it whole, or the same shard or one of another count is at work.
        Interrupted: a signal came; the same command goes on.
        HdganError: likewise, but several times in a row no slide was finished.
    """
    if config.images is not None:
        raise BadConfig("--shard", "is for slides; images that are cut already are taken in one go")
    config = config.model_copy(update={"scheduler": None})  # a share is cut here, whatever the settings say of the whole
    pseudonyms = stage_pseudonyms(config, out=out, base=base, redo=redo, progress=progress)
    entries = find_entries(config, base=base, pseudonyms=pseudonyms)
    mine = shard.deal(entries)
    if pseudonyms is not None:
        progress = HidingProgress(progress, entries)
    names, folder, mark = [entry.name for entry in mine], out / parts.PARTS, f".shard-{shard.number}-of-{shard.of}"
    with (
        nullcontext() if pseudonyms is None else hiding(entries),
        open_crew(config) as crew,
        counting_attempts(folder / f"{mark}.json", names, share=f"{shard.number}/{shard.of}", limit_s=limit_s),
    ):
        plans, problems, at_scale = _planned(entries, mine, config, seed=seed, crew=crew, progress=progress)
        if problems and config.broken_slides == "stop":
            refuse_broken(problems, progress)
        for problem in problems:
            progress.say(f"left out: {problem}")
        contents, unreadable = contents_of(plans, config, crew, progress)
        num_slides = len(plans) + len(problems)
        plans = tuple(plan for plan in plans if plan.entry.name not in unreadable)
        problems = (*problems, *unreadable.values())
        inputs = contents | region_inputs(plans)
        out.mkdir(parents=True, exist_ok=True)
        with sharing(out):
            if _is_finished(out, config, seed, inputs, redo=redo):
                return ShardDone(num_slides, problems, was_finished=True)
            folder.mkdir(exist_ok=True)  # while nobody joins, who removes it
            with holding(folder / f"{mark}.lock"):
                _refuse_others(folder, shard)
                remove_leftover_folders(folder, names)
                try:
                    crashed = cut_all(plans, at_scale, out=out, contents=inputs, crew=crew, progress=progress)
                finally:
                    remove_leftover_folders(folder, names)
    return ShardDone(num_slides, (*problems, *crashed.values()), was_finished=False)


def _planned(
    entries: Sequence[SlideEntry], mine: Sequence[SlideEntry], config: TilesConfig, *, seed: int, crew: Crew, progress: Progress
) -> tuple[tuple[SlidePlan, ...], tuple[BadInput, ...], TilesConfig]:
    """The plans of the slides that are `mine` but for those of cases that are left out, what is wrong with the others of them, and the settings with
    the scale of all tiles.

    Where no mpp is asked for, tiles have the coarsest scale of all slides, and where cases need some stains, the slides of a case lie in several shares: a
    share alone does not know. All are opened then, and what is wrong with those of other shares is theirs to say.
    """
    known = mine if config.asked_mpp is not None and config.min_stains_per_case is None else entries
    plans, problems = plan_by_name(known, config, seed=seed, crew=crew, progress=progress)
    left_out = without_stains(plans, min_stains=config.min_stains_per_case)  # as whoever joins leaves them out
    used = [plan for plan in plans if plan.entry.patient not in left_out]
    at_scale = scaled(config, used)
    names = {entry.name for entry in mine}
    own = tuple(plan for plan in used if plan.entry.name in names)
    return own, tuple(problem for name, problem in problems.items() if name in names), at_scale


def _refuse_others(folder: Path, shard: Shard) -> None:
    """Shares of one count have no slide in common: what is half-written of theirs is nobody else's. Those of two counts have.

    Raises:
        Busy: one of another count is at work.
    """
    for lock in folder.glob(".shard-*.lock"):
        if not lock.name.endswith(f"-of-{shard.of}.lock") and is_held(lock):
            raise Busy(f"{folder.parent}: shares of another count than {shard.of} are being cut there; wait for them or stop them")


def _is_finished(out: Path, config: TilesConfig, seed: int, inputs: dict[str, str], *, redo: bool) -> bool:
    """Whether the stage is finished, as far as this shard can see.

    Raises:
        StaleStage: it was made or begun from something else, and `redo` is false.
    """
    begun = begun_with(out)
    if begun is None:
        return False
    known = {name: begun["inputs"].get(name) for name in inputs}
    now = {"config": json.loads(json.dumps(config.recorded())), "seed": seed, "inputs": inputs}
    before = {"config": begun["config"], "seed": begun["seed"], "inputs": known}
    if now == before:
        return (out / MANIFEST).exists() and not (config.recut_changed_code and is_of_other_code(out))
    if not redo:
        fields = ", ".join(name for name in now if now[name] != before[name])
        raise StaleStage(f"{out}: made from other settings or inputs ({fields}); add --redo, to each shard and to the joining")
    return False
