"""The pseudonym key of a tiles stage, kept apart from the run and made where there is none yet; and the slides under the names that it gives."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from hdgan.errors import BadConfig, BadInput
from hdgan.progress import Progress
from hdgan.slides.pseudonyms import Pseudonyms, find_pseudonymous, hiding, make_key, open_key
from hdgan.slides.regions.find import with_regions
from hdgan.slides.table import SlideEntry, find_slides
from hdgan.store.layout import RunFolder
from hdgan.store.private import is_open_to_others
from hdgan.store.stage import begun_with
from hdgan.tiles.config import TilesConfig

KEY_INPUT = "pseudonym key"
"""Name under which the manifest holds the key's fingerprint."""


def stage_pseudonyms(config: TilesConfig, *, out: Path, base: Path, redo: bool, progress: Progress) -> Pseudonyms | None:
    """The pseudonyms that the settings ask for, None where they ask for none; makes the key file at first use, or with `redo` another.

    Raises:
        BadConfig: the key file lies inside the run's folder.
        BadInput: it is no key file, or it is gone although tiles were begun with one.
    """
    if config.pseudonym_key is None:
        return None
    path = _place(config.pseudonym_key, base)
    _refuse_inside(path, out)
    if not path.exists() and (redo or not _was_begun_with_key(out)) and make_key(path):
        progress.say(
            f"made the pseudonym key {path}; whoever has it can tell who is who, and without it no new slide gets the old pseudonyms"
        )
    found = open_key(path)
    if is_open_to_others(path):
        progress.say(f"{path}: others on this machine can read the pseudonym key; chmod 600 it")
    return found


def finished_pseudonyms(config: TilesConfig, *, base: Path, inputs: Mapping[str, str]) -> Pseudonyms | None:
    """The pseudonyms under which a stage with `inputs` was cut, None where it was cut without a key; makes no key.

    Raises:
        BadInput: the settings name no key or another one, the file is gone, or it is no key file.
    """
    fingerprint = inputs.get(KEY_INPUT)
    if config.pseudonym_key is None:
        if fingerprint is not None:
            raise BadInput("tiles.pseudonym_key", "names no key, and the tiles were cut with one", "name that one again")
        return None
    path = _place(config.pseudonym_key, base)
    if fingerprint is None:
        remedy = "cut them again with --redo, or take `pseudonym_key` out of the settings"
        raise BadInput("tiles.pseudonym_key", f"names {path}, and the tiles were cut without a key", remedy)
    found = open_key(path)
    if found.fingerprint != fingerprint:
        raise BadInput(path, "is not the key that the tiles were cut with", "put that one back, or cut the tiles again with --redo")
    return found


def passing_pseudonyms(config: TilesConfig, *, base: Path) -> Pseudonyms | None:
    """Those of the key; while it has not been made, of one that is thrown away: a look makes no file and tells no name.

    Raises:
        BadInput: it is no key file.
    """
    if config.pseudonym_key is None:
        return None
    path = _place(config.pseudonym_key, base)
    return open_key(path) if path.exists() else Pseudonyms(secrets.token_bytes(32))


def find_entries(config: TilesConfig, *, base: Path, pseudonyms: Pseudonyms | None) -> tuple[SlideEntry, ...]:
    """The slides of the settings with their region files, by their pseudonyms where there are.

    Raises:
        BadConfig, BadInput: as `find_slides`, `find_pseudonymous` and `with_regions`.
    """
    if pseudonyms is None:
        entries = find_slides(config.slides, base=base)
        return entries if config.regions is None else with_regions(entries, config.regions, base=base)
    entries = find_pseudonymous(config.slides, base=base, pseudonyms=pseudonyms)
    with hiding(entries):
        return entries if config.regions is None else with_regions(entries, config.regions, base=base)


def _place(key: Path, base: Path) -> Path:
    return base / key.expanduser()


def _refuse_inside(path: Path, out: Path) -> None:
    run = out.parent if RunFolder(out.parent).folder("tiles") == out else out
    inside = [Path(os.path.abspath(path)).is_relative_to(os.path.abspath(run)), path.resolve().is_relative_to(run.resolve())]  # noqa: PTH100 - a link counts where it lies
    if any(inside):
        remedy = "name a place that is not copied along with the run"
        raise BadConfig("tiles.pseudonym_key", f"{path} lies inside the folder of the run, {run}", remedy)


def _was_begun_with_key(out: Path) -> bool:
    try:
        begun = begun_with(out)
    except BadInput:  # damaged: whoever opens the stage says so
        return False
    return begun is not None and KEY_INPUT in begun["inputs"]
