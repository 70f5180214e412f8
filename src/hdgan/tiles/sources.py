"""The slides of a tiles stage as its artifacts know them: planned, chosen, hashed, and under pseudonyms where there is a key."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hdgan.errors import BadInput
from hdgan.progress import Progress
from hdgan.slides.content import content_hash
from hdgan.slides.pseudonyms import HidingProgress, Pseudonyms, hiding
from hdgan.slides.table import SlideEntry
from hdgan.store.hashing import hash_json
from hdgan.tiles.config import TilesConfig
from hdgan.tiles.dealing import Choice, choose, told
from hdgan.tiles.keys import KEY_INPUT
from hdgan.tiles.plan import SlidePlan, plan_slides


@dataclass(frozen=True)
class Sources:
    """What a tiles stage is made from."""

    choice: Choice
    problems: tuple[BadInput, ...]
    """What is wrong with each slide that cannot be cut."""
    inputs: dict[str, str]
    """As the manifest records them."""

    @property
    def plans(self) -> tuple[SlidePlan, ...]:
        """The slides to cut."""
        return self.choice.plans


@contextmanager
def open_sources(
    config: TilesConfig, *, base: Path, pseudonyms: Pseudonyms | None, progress: Progress
) -> Iterator[tuple[Sources, Progress]]:
    """The sources of `config` (relative ones start at `base`) and a progress to report to; with pseudonyms, what is reported and raised
    inside the block names no slide. What is left out is told.

    Raises:
        BadInput: a slide is missing, damaged, without scale or there twice, none holds a tile, or no case has what is asked for.
    """
    plans, problems = plan_slides(config, base=base, pseudonyms=pseudonyms)
    entries = [plan.entry for plan in plans]
    if pseudonyms is not None:
        progress = HidingProgress(progress, entries)
    with nullcontext() if pseudonyms is None else hiding(entries):
        _check(plans, problems, config, progress)
        choice = choose(plans, config)
        for line in told(choice.left_out):
            progress.say(line)
        inputs = _inputs(choice.plans) | ({} if pseudonyms is None else {KEY_INPUT: pseudonyms.fingerprint})
        yield Sources(choice, problems, inputs), progress


def _check(plans: Sequence[SlidePlan], problems: Sequence[BadInput], config: TilesConfig, progress: Progress) -> None:
    if problems and config.broken_slides == "stop":
        raise problems[0]
    for problem in problems:
        progress.say(f"left out: {problem}")
    if not plans:
        raise problems[0]
    if not any(plan.cells for plan in plans):
        largest = max(plans, key=lambda plan: min(plan.size_px))
        size = f"{largest.size_px[0]} x {largest.size_px[1]}"
        what = f"no slide holds a tile of {largest.level0_px} x {largest.level0_px} level-0 px; {largest.entry.name} has {size}"
        raise BadInput(largest.entry.path, what, "ask for a smaller `tile_px` or `margin`, or a finer `mpp`")


def _inputs(plans: Sequence[SlidePlan]) -> dict[str, str]:
    """Content hash of each slide, and one of what the slide table says about them.

    Raises:
        BadInput: two slides are the same file.
    """
    inputs: dict[str, str] = {}
    first: dict[str, SlideEntry] = {}
    for plan in plans:
        content = content_hash(plan.entry.path)
        if content in first:
            raise BadInput(plan.entry.path, f"is the same slide as {first[content].path}", "name each slide once")
        first[content] = plan.entry
        inputs[f"slide {plan.entry.name}"] = content
    said: list[Any] = [[p.entry.name, p.entry.patient, p.entry.centre, p.entry.stain, p.slide_mpp, p.level0_px, p.cells] for p in plans]
    diagnoses = [p.entry.diagnosis for p in plans]
    if any(diagnoses):  # only then, so that what was cut from tables without them stays current
        said.append(diagnoses)
    return {**inputs, "slide table": hash_json(said)}
