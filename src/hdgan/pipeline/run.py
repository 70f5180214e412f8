"""Runs the stages of a run in their order: skips what is current, resumes what was interrupted, stops at what is stale."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hdgan.errors import BadConfig, BadInput, StaleStage
from hdgan.pipeline.config import RunConfig
from hdgan.pipeline.settings_file import read_settings
from hdgan.pipeline.standing import Standing, standings
from hdgan.pipeline.steps import STEPS, Run, Step, control_changes, import_again
from hdgan.progress import SILENT, Progress
from hdgan.store.atomic import read_json, write_bytes, write_json
from hdgan.store.layout import STAGES, RunFolder
from hdgan.store.stage import MANIFEST, Manifest
from hdgan.training.ranks import rank_of

SETTINGS = "config.toml"
ORIGIN = "origin.json"
_REDO = "add --redo to make them again (what a person drew is kept)"
_ON_RUN_DEVICE = {"samples", "annotations", "dataset", "downstream"}
"""Stages that work, or let an oracle work, where `run.device` says."""


@dataclass(frozen=True)
class Outcome:
    """What became of one stage."""

    stage: str
    folder: Path
    manifest: Manifest
    was_current: bool
    """Nothing had to be done."""
    seconds: float


def open_run(root: Path, *, config: Path | None = None) -> Run:
    """The run in folder `root`. Settings come from `config`, which is then copied into the run, or from the run's own copy.

    Raises:
        BadConfig: the settings are missing or wrong.
    """
    own = root / SETTINGS
    if config is None and not own.exists():
        raise BadInput(root, f"holds no {SETTINGS}", "give the settings of a new run with --config, such as one of recipes/")
    source = own if config is None else config
    settings = read_settings(source, RunConfig)
    if not rank_of().is_first:  # one of several processes that train together: the first one writes the copy
        return Run(settings, RunFolder(root), _base(root) if config is None else source.resolve().parent)
    if source.resolve() != own.resolve():
        # The copy must mean what the original meant, wherever the next command is given.
        write_json(root / ORIGIN, {"base": os.path.relpath(source.resolve().parent, root.resolve())})
        write_bytes(own, source.read_bytes())
    return Run(settings, RunFolder(root), _base(root))


def run_root(config: RunConfig, settings: Path) -> Path:
    """The folder of the run that the file `settings` asks for by itself: the one whose own copy it is, wherever that was moved to, else as `config` says."""
    return settings.parent if _is_of_run(settings) else config.run.out / config.run.name


def settings_base(settings: Path) -> Path:
    """Where relative paths in the file `settings` begin."""
    return _base(settings.parent) if _is_of_run(settings) else settings.parent


def survey(run: Run) -> tuple[Standing, ...]:
    """Where each wanted stage of the run stands."""
    wanted = {step.stage: step.settings(run.config) for step in STEPS if step.is_wanted(run.config)}
    also = {"annotations": _outside(run), "evaluation": control_changes(run)}
    return standings(run.folder, configs=wanted, seed=run.config.run.seed, also=also)


def run_all(
    run: Run, *, redo: bool = False, first: str | None = None, until: str | None = None, progress: Progress = SILENT
) -> tuple[Outcome, ...]:
    """What became of each stage from `first` (the first) to `until` (the last).

    Raises:
        StaleStage: stages were made from other settings or inputs and `redo` is false, or stages before `first` that these are built
            on were; names them all, with the fields.
        BadConfig: a stage ahead is to work on a GPU, and there is none.
        HdganError: whatever a stage refuses.
    """
    steps = _between(first, until, run)
    _refuse_stale_sources(run, steps)
    found = [standing for standing in survey(run) if standing.stage in {step.stage for step in steps}]
    if not redo:
        by_hand = _stale_by_hand(run, found)
        _refuse_stale(found, remedy=_REDO if by_hand is None else import_again(run, by_hand.fields))
    _refuse_missing_gpu(run.config, {standing.stage for standing in found if standing.state != "current"})
    outcomes = []
    for number, step in enumerate(steps, start=1):
        progress.say(f"[{number}/{len(steps)}] {step.stage}: {step.purpose}")
        outcomes.append(_run(step, run, redo=redo, progress=progress))
    return tuple(outcomes)


def run_one(run: Run, stage: str, *, redo: bool = False, progress: Progress = SILENT) -> Outcome:
    """What became of `stage`; the stages before it must be there.

    Raises:
        StaleStage: it was made from other settings or inputs and `redo` is false, or a stage that it is built on was.
    """
    (step,) = _between(stage, stage, run)
    _refuse_stale_sources(run, [step])
    return _run(step, run, redo=redo, progress=progress)


def refuse_stale(root: Path, *stages: str) -> None:
    """Lets nothing read `stages` of the run in folder `root` where the settings have changed since; a folder without settings says nothing.

    Raises:
        StaleStage: one of them, or a stage that it is built on, was made from other settings or inputs.
    """
    if (root / SETTINGS).exists():
        run = open_run(root)
        wanted = {*stages, *_sources(stages)}
        _refuse_stale([standing for standing in survey(run) if standing.stage in wanted])


def _outside(run: Run) -> tuple[str, ...]:
    """What the settings of the annotations name and changed since; what cannot be read now is said when the stage itself works."""
    folders = {"samples": run.stage("samples"), "out": run.stage("annotations")}
    if not all((folder / MANIFEST).exists() for folder in folders.values()):
        return ()
    from hdgan.annotations.stage import changed_inputs

    with suppress(BadInput):
        return changed_inputs(run.annotations(), **folders)
    return ()


def _is_of_run(settings: Path) -> bool:
    """Whether the file `settings` is the copy that a run keeps of its own."""
    return settings.name == SETTINGS and (settings.parent / ORIGIN).exists()


def _base(root: Path) -> Path:
    """Where relative paths of the run's settings begin: the folder of the file that they were copied from."""
    origin = root / ORIGIN
    return (root / read_json(origin)["base"]).resolve() if origin.exists() else root


def _between(first: str | None, until: str | None, run: Run) -> list[Step]:
    for name in (first, until):
        if name is not None and name not in STAGES:
            raise BadConfig("stage", f"there is none called {name!r}", f"stages are {', '.join(STAGES)}")
    start = 0 if first is None else STAGES.index(first)
    stop = len(STAGES) - 1 if until is None else STAGES.index(until)
    if start > stop:
        raise BadConfig("stage", f"{first} comes after {until}", "let the run begin with a stage before the one that it ends with")
    steps = [step for step in STEPS if start <= STAGES.index(step.stage) <= stop]
    chosen = [step for step in steps if step.is_wanted(run.config)]
    if not chosen:
        raise BadConfig("settings", f"{', '.join(step.stage for step in steps) or 'nothing'} is not asked for", "add its section")
    return chosen


def _refuse_stale_sources(run: Run, steps: Sequence[Step]) -> None:
    """Builds on nothing stale: whatever `steps` read that none of them makes, from the slides on."""
    made = {step.stage for step in steps}
    sources = _sources(made) - made
    _refuse_stale(
        [standing for standing in survey(run) if standing.stage in sources],
        remedy=f"make them again before {steps[0].stage}, each with --redo",
    )


def _sources(stages: Iterable[str]) -> set[str]:
    """What `stages` are built on, from the slides on."""
    reads = {step.stage: step.reads for step in STEPS}
    sources, ahead = set[str](), [*stages]
    while ahead:
        new = set(reads.get(ahead.pop(), ())) - sources
        sources |= new
        ahead += new
    return sources


def _stale_by_hand(run: Run, found: Sequence[Standing]) -> Standing | None:
    """Where among `found` masks that a person imported by hand are stale, how: `--redo` makes all else again, and not these."""
    if run.config.oracle is not None or run.config.annotations.masks is not None:
        return None
    return next((standing for standing in found if standing.stage == "annotations" and standing.state == "stale"), None)


def _refuse_stale(found: Sequence[Standing], *, remedy: str = _REDO) -> None:
    stale = [standing for standing in found if standing.state == "stale"]
    if stale:
        listed = "; ".join(f"{standing.stage} ({', '.join(standing.fields)})" for standing in stale)
        message = f"made from other settings or inputs: {listed}; {remedy}"
        raise StaleStage(message)


def _refuse_missing_gpu(config: RunConfig, ahead: set[str]) -> None:
    """Lets no work begin that would end hours later for want of a GPU: none of the stages `ahead` may ask for one that is not there."""
    asked = {"generator.device": (config.generator.device, {"generator"}), "run.device": (config.run.device, _ON_RUN_DEVICE)}
    for setting, (device, stages) in asked.items():
        if device == "cuda" and stages & ahead:
            from hdgan.training.devices import chosen_device

            chosen_device(device, setting=setting)


def _run(step: Step, run: Run, *, redo: bool, progress: Progress) -> Outcome:
    folder = run.folder.folder(step.stage)
    before = _written(folder)
    since = time.monotonic()
    manifest = step.work(run, redo, progress)
    return Outcome(step.stage, folder, manifest, before is not None and before == _written(folder), time.monotonic() - since)


def _written(folder: Path) -> int | None:
    """When the folder's manifest was written, ns."""
    path = folder / MANIFEST
    return path.stat().st_mtime_ns if path.exists() else None
