"""The slides of a tiles stage as its artifacts know them: planned, chosen, hashed, and under pseudonyms where there is a key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

from hdgan.errors import BadInput
from hdgan.progress import Progress
from hdgan.slides.pseudonyms import HidingProgress, Pseudonyms, hiding
from hdgan.slides.table import SlideEntry
from hdgan.store.hashing import hash_json
from hdgan.tiles.config import TilesConfig
from hdgan.tiles.crew import INLINE, Crew
from hdgan.tiles.dealing import Choice, choose, told
from hdgan.tiles.folds import unknown_patients
from hdgan.tiles.keys import KEY_INPUT, find_entries
from hdgan.tiles.plan import SlidePlan, plan_by_name, scaled
from hdgan.tiles.regions import refuse_unplaced, region_inputs, with_hidden_classes
from hdgan.tiles.work import contents_of

_MOST_TOLD = 20
"""Slides that cannot be cut and are told one by one."""


_MOST_ALIKE = 3
"""Names written in two ways that are told of each kind."""


@dataclass(frozen=True)
class Sources:
    """What a tiles stage is made from."""

    choice: Choice
    problems: tuple[BadInput, ...]
    """What is wrong with each slide that cannot be cut."""
    inputs: dict[str, str]
    """As the manifest records them."""
    config: TilesConfig
    """The settings, with the scale of all tiles."""
    left_out: tuple[str, ...] = ()
    """Names of the slides that cannot be cut, as `problems`."""
    entries: Mapping[str, SlideEntry] = field(default_factory=dict)
    """What is known of each slide before it is opened, by its name."""

    @property
    def plans(self) -> tuple[SlidePlan, ...]:
        """The slides to cut."""
        return self.choice.plans

    def patient_notes(self) -> list[str]:
        """A line where nobody said which of several slides are of one patient, and one for each kind of names that are nearly the same."""
        num_unknown = sum(not plan.entry.is_patient_known for plan in self.plans)
        return [*(unknown_patients(num_unknown, of="slides") if len(self.plans) > 1 else []), *self._spelling_notes()]

    def told_problems(self) -> list[tuple[SlideEntry, str]]:
        """Each slide that cannot be cut, and a line that says why; it names the file where that is another than the slide's, such as its region file."""
        found = []
        for name, problem in zip(self.left_out, self.problems, strict=True):
            entry, file = self.entries[name], Path(problem.where).name
            found.append((entry, f"{'' if file == entry.file_name else f'{file}: '}{problem.what}; {problem.remedy}"))
        return found

    def without(self, failed: Mapping[str, BadInput]) -> Sources:
        """The sources without slides that could not be cut, by their names; what is wrong with them stands with the other problems.

        Raises:
            BadInput: none is left.
        """
        plans = tuple(plan for plan in self.plans if plan.entry.name not in failed)
        problems = (*self.problems, *failed.values())
        if not plans:
            raise problems[0]
        left_out = (*self.left_out, *failed)
        return replace(self, choice=replace(self.choice, plans=plans), problems=problems, left_out=left_out)

    def _spelling_notes(self) -> list[str]:
        """A line for each kind of names of which some differ in nothing but capitals and spaces: one patient written in two ways may lie in two folds."""
        notes = []
        for kind in ("patient", "centre", "stain", "diagnosis"):
            spellings: dict[str, set[str]] = {}
            for plan in self.plans:
                name = str(getattr(plan.entry, kind))
                spellings.setdefault("".join(name.casefold().split()), set()).add(name)
            alike = [" and ".join(sorted(names)) for _, names in sorted(spellings.items()) if len(names) > 1]
            if alike:
                more = f" and {len(alike) - _MOST_ALIKE} more" if len(alike) > _MOST_ALIKE else ""
                shown = ", ".join(alike[:_MOST_ALIKE])
                notes.append(f"{kind}: {shown}{more} are taken for different; if they are one, spell them alike in the slide table")
        return notes


@contextmanager
def open_sources(
    config: TilesConfig, *, base: Path, seed: int, pseudonyms: Pseudonyms | None, progress: Progress, crew: Crew = INLINE
) -> Iterator[tuple[Sources, Progress]]:
    """The sources of `config` (relative ones start at `base`) and a progress to report to; with pseudonyms, what is reported and raised
    inside the block names no slide. What is left out is told. `crew` opens the slides.

    Raises:
        BadInput: a slide is missing, damaged, without scale or there twice, none holds a tile, or no case has what is asked for.
    """
    found = find_entries(config, base=base, pseudonyms=pseudonyms)
    plans, left_out = plan_by_name(found, config, seed=seed, crew=crew, progress=progress)
    problems = tuple(left_out.values())
    entries = [plan.entry for plan in plans]
    if pseudonyms is not None:
        progress = HidingProgress(progress, entries)
        plans = tuple(with_hidden_classes(plan, pseudonyms, config) for plan in plans)
    with nullcontext() if pseudonyms is None else hiding(entries):
        _check(plans, problems, config, progress)
        contents, unreadable = contents_of(plans, config, crew, progress)
        if len(unreadable) == len(plans):
            raise next(iter(unreadable.values()))
        left_out |= unreadable
        choice = choose([plan for plan in plans if plan.entry.name not in unreadable], config)
        for line in told(choice.left_out):
            progress.say(line)
        _refuse_twice(choice.plans, contents)
        inputs = inputs_of(choice.plans, config, contents) | ({} if pseudonyms is None else {KEY_INPUT: pseudonyms.fingerprint})
        by_name = {entry.name: entry for entry in found}
        yield Sources(choice, tuple(left_out.values()), inputs, scaled(config, choice.plans), tuple(left_out), by_name), progress


def _check(plans: Sequence[SlidePlan], problems: Sequence[BadInput], config: TilesConfig, progress: Progress) -> None:
    if problems and config.broken_slides == "stop":
        refuse_broken(problems, progress)
    for problem in problems:
        progress.say(f"left out: {problem}")
    if not plans:
        raise problems[0]
    refuse_unplaced(plans, config)
    if not any(plan.cells for plan in plans):
        largest = max(plans, key=lambda plan: min(plan.size_px))
        size = f"{largest.size_px[0]} x {largest.size_px[1]}"
        what = f"no slide holds a tile of {largest.level0_px} x {largest.level0_px} level-0 px; {largest.entry.name} has {size}"
        raise BadInput(largest.entry.path, what, "ask for a smaller `tile_px` or `margin`, or a finer `mpp`")


def refuse_broken(problems: Sequence[BadInput], progress: Progress) -> NoReturn:
    """Tells of all slides that cannot be cut, so that nobody finds them one by one, and how to go on without them.

    Raises:
        BadInput: what is wrong with the first.
    """
    for problem in problems[1:_MOST_TOLD]:
        progress.say(f"cannot be cut: {problem}")
    if len(problems) > _MOST_TOLD:
        progress.say(f"cannot be cut: {len(problems) - _MOST_TOLD} more")
    progress.say('to cut the other slides all the same: tiles.broken_slides = "skip"')
    raise problems[0]


def _refuse_twice(plans: Sequence[SlidePlan], contents: Mapping[str, str]) -> None:
    """Refuses slides of which two are the same file.

    Raises:
        BadInput: names both.
    """
    first: dict[str, SlideEntry] = {}
    for plan in plans:
        content = contents[f"slide {plan.entry.name}"]
        if content in first:
            raise BadInput(plan.entry.path, f"is the same slide as {first[content].path}", "name each slide once")
        first[content] = plan.entry


def inputs_of(plans: Sequence[SlidePlan], config: TilesConfig, contents: Mapping[str, str]) -> dict[str, str]:
    """What the manifest records of these slides; `contents` holds the content hash of each under `slide <name>`."""
    inputs = {name: contents[name] for name in (f"slide {plan.entry.name}" for plan in plans)}
    said: list[Any] = [[p.entry.name, p.entry.patient, p.entry.centre, p.entry.stain, p.slide_mpp, p.level0_px, p.cells] for p in plans]
    diagnoses = [p.entry.diagnosis for p in plans]
    if any(diagnoses):  # only then, so that what was cut from tables without them stays current
        said.append(diagnoses)
    if config.asked_mpp is None:
        said.append([plan.tile_mpp for plan in plans])
    inputs |= region_inputs(plans)
    return {**inputs, "slide table": hash_json(said)}
