"""What is done with one slide: it is planned, and it is cut into its part of the stage, `parts/<slide>/`.

A part is whole or absent. Its `status.json` says what it was made from; a part made from anything else is cut again. So the same
job may be given to a process, to another machine, or twice.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from hdgan.errors import BadInput, HdganError
from hdgan.progress import SILENT, Progress
from hdgan.slides.content import content_hash
from hdgan.slides.pseudonyms import hidden_error
from hdgan.slides.reader import open_slide
from hdgan.store.archive import INDEX, read_rows
from hdgan.store.atomic import replacing_folder, write_bytes
from hdgan.store.codec import format_of
from hdgan.store.hashing import hash_json
from hdgan.store.versions import own_version
from hdgan.tiles import parts
from hdgan.tiles.code import code_hash, shown
from hdgan.tiles.config import TilesConfig
from hdgan.tiles.crew import Crew, Job, in_order
from hdgan.tiles.cut import cut_slide, score_cells
from hdgan.tiles.encode import tile_source
from hdgan.tiles.parts import Status
from hdgan.tiles.pictures import encode_jpeg, thumbnail
from hdgan.tiles.plan import SlidePlan
from hdgan.tiles.unread import Unread

PART_FORMAT = 3
"""Number of the way in which parts are written; another one makes every part stale."""

_NOT_IN_PARTS = {
    "slides",
    "slide_mpp",
    "regions",
    "placement",
    "region_classes_shown",
    "num_folds",
    "folds",
    "min_stains_per_case",
    "pseudonym_key",
    "broken_slides",
    "workers",
    "scheduler",
    "max_silence_s",
    "recut_changed_code",
    "retry_left_out",
}
"""Settings that change no byte of a part: which slides there are, what placed the cells, what is decided after cutting, and who cuts."""
_NOT_OF_THE_SLIDE = ("path", "called", "areas", "regions", "mpp", "diagnosis", "is_patient_known")
"""Fields of a slide's entry that change no byte either: its content is hashed, areas and regions have become cells, and the scale stands in the plan."""


def cut_part(plan: SlidePlan, config: TilesConfig, out: Path, content: str, *, progress: Progress = SILENT) -> Status:
    """The status of the slide's part below the stage folder `out`, cut unless it is there. `content` is the hash of the slide's content.

    The folder of the parts must exist: nothing is made in a stage that was finished or cleared in the meantime.

    Raises:
        BadInput: the slide cannot be opened, or its tiles cannot be copied.
        OutOfSpace: the disk is full.
    """
    part, key = parts.part_folder(out, plan.entry.name), part_key(plan, config, content)
    found = _reusable(part, key, config)
    if found is not None:
        return found
    since = time.monotonic()
    with (
        replacing_folder(part) as folder,
        closing(open_slide(plan.entry.path, mpp_override=plan.slide_mpp)) as slide,
        closing(tile_source(slide, plan, config)) as source,
    ):
        scores = score_cells(slide, plan, config, progress=progress)
        write_bytes(folder / parts.THUMBNAIL, encode_jpeg(thumbnail(scores.overview)))
        unread: list[Unread] = []
        cut = cut_slide(slide, plan, config, scores=scores, source=source, unread=unread, progress=progress)
        cells = parts.write_part(folder, cut, unread)
        status = Status(
            key=key,
            slide=plan.entry.name,
            reader=slide.reader,
            reason=slide.reason,
            verdicts=dict(Counter(cell.verdict for cell in cells)),
            sizes={file.name: file.stat().st_size for file in sorted(folder.iterdir())},
            seconds=round(time.monotonic() - since, 3),
            version=own_version(),
            store=source.storing.store,
            store_reason=source.storing.reason,
            stored=dict(Counter(format_of(row.name) for row in read_rows(folder / INDEX))),
            code=code_hash(),
            white_note=scores.white_note,
        )
        parts.write_status(folder, status)
    return status


def _reusable(part: Path, key: str, config: TilesConfig) -> Status | None:
    """The status of the part if it need not be cut: it is whole, made from what `key` says, and by this code where the settings ask for that."""
    found = parts.whole_part(part, key)
    return None if found is not None and config.recut_changed_code and found.code != code_hash() else found


def part_key(plan: SlidePlan, config: TilesConfig, content: str) -> str:
    """Hash of all that a part is made from: settings, the plan of the slide, its content, the version of this code."""
    planned = vars(plan) | {"regions": None}  # no copy of every cell, as `asdict` makes it
    planned["entry"] = {name: value for name, value in vars(plan.entry).items() if name not in _NOT_OF_THE_SLIDE}
    settings = config.model_dump(mode="json", exclude=_NOT_IN_PARTS)
    return hash_json({"format": PART_FORMAT, "version": own_version(), "settings": settings, "plan": planned, "content": content})


def cut_all(
    plans: Sequence[SlidePlan], config: TilesConfig, *, out: Path, contents: Mapping[str, str], crew: Crew, progress: Progress
) -> dict[str, BadInput]:
    """What is wrong with the slides that could not be cut, by their names; each other one has its part on the disk. `contents` are the
    inputs of the stage.

    Raises:
        BadInput: a slide could not be cut, and broken slides stop the job.
        HdganError: the disk is full, or a worker runs another version of this code.
    """
    keys = {plan.entry.name: part_key(plan, config, contents[f"slide {plan.entry.name}"]) for plan in plans}
    reused = {name: _reusable(parts.part_folder(out, name), key, config) for name, key in keys.items()}
    missing = [plan for plan in plans if reused[plan.entry.name] is None]
    tell_codes((status.code for status in reused.values() if status is not None), progress)
    if not missing:
        return {}
    (out / parts.PARTS).mkdir(exist_ok=True)
    total = sum(len(plan.cells) for plan in plans)
    jobs = [
        Job(
            str(plan.entry.path),
            cut_part,
            (
                replace(plan, regions=None),
                config,
                out,
                contents[f"slide {plan.entry.name}"],
            ),  # the cells are placed: no worker needs outlines
            len(plan.cells),
        )
        for plan in missing
    ]
    problems: dict[str, BadInput] = {}
    codes: list[str] = []
    progress.start("tiles", total=total, done=total - sum(job.steps for job in jobs))
    try:
        for outcome in crew.run(jobs, progress=progress):
            name = missing[outcome.index].entry.name
            if outcome.problem is not None:
                if config.broken_slides == "stop":
                    raise outcome.problem
                progress.say(f"left out: {outcome.problem}")
                is_secret = config.pseudonym_key is not None  # what is kept of it goes into tables
                problems[name] = hidden_error(outcome.problem, [missing[outcome.index].entry]) if is_secret else outcome.problem
            elif outcome.value is not None and outcome.value.key != keys[name]:
                ours = own_version()
                raise HdganError(f"a worker cut {name} with hdgan {outcome.value.version}, this is {ours}: install one version everywhere")
            elif outcome.value is not None:
                codes.append(outcome.value.code)
    finally:
        progress.finish()
    tell_codes(codes, progress)
    return {plan.entry.name: problems[plan.entry.name] for plan in plans if plan.entry.name in problems}


def tell_codes(codes: Iterable[str], progress: Progress) -> None:
    """Says how many slides were cut by code with other hashes than ours: before an edit, or by a worker elsewhere."""
    others = Counter(code for code in codes if code != code_hash())
    for code, num in sorted(others.items()):
        progress.say(
            f"{num} slide{'s' if num > 1 else ''} cut by other code: {shown(code)}, kept (this is {shown(code_hash())}; --recut-changed-code cuts anew)"
        )


def contents_of(
    plans: Sequence[SlidePlan], config: TilesConfig, crew: Crew, progress: Progress
) -> tuple[dict[str, str], dict[str, BadInput]]:
    """The content hash of each slide, by its name, under `slide <name>` as the manifest records it; and what is wrong with those that cannot be read,
    by name, told.

    Raises:
        BadInput: a slide cannot be read, and broken slides stop the job.
    """
    outcomes = in_order(crew.run([Job(str(plan.entry.path), hash_slide, (plan.entry.path,)) for plan in plans], progress=progress))
    contents: dict[str, str] = {}
    problems: dict[str, BadInput] = {}
    for plan, outcome in zip(plans, outcomes, strict=True):
        if outcome.problem is None:
            contents[f"slide {plan.entry.name}"] = str(outcome.value)
        elif config.broken_slides == "stop":
            raise outcome.problem
        else:
            progress.say(f"left out: {outcome.problem}")
            is_secret = config.pseudonym_key is not None  # what is kept of it goes into tables
            problems[plan.entry.name] = hidden_error(outcome.problem, [plan.entry]) if is_secret else outcome.problem
    return contents, problems


def hash_slide(path: Path, *, progress: Progress) -> str:
    """The content hash of the slide at `path`.

    Raises:
        BadInput: it cannot be read.
    """
    del progress
    return content_hash(path)
