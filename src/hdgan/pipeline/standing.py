"""Where a run stands: for each stage whether it is absent, unfinished, current, or stale and because of what.

Nothing is locked and nothing written: a look. Inputs that are files from outside (slides) are only compared when the stage
itself runs, unless who asks has looked at them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hdgan.store.layout import STAGES, RunFolder
from hdgan.store.stage import MANIFEST, begun_with, manifest_hash

State = Literal["absent", "unfinished", "current", "stale"]


@dataclass(frozen=True)
class Standing:
    """How one stage's folder compares with what is asked for now."""

    stage: str
    folder: Path
    state: State
    fields: tuple[str, ...] = ()
    """Of a stale stage: the settings and inputs that changed, dotted."""


def standings(
    folder: RunFolder, *, configs: Mapping[str, Mapping[str, Any]], seed: int, also: Mapping[str, Sequence[str]] | None = None
) -> tuple[Standing, ...]:
    """The standing of each stage in `configs` (stage to its settings as it records them), in the order of the stages.

    `also` names what is known to have changed of a stage besides what its folder tells.
    """
    found: dict[str, Standing] = {}
    for stage in STAGES:
        if stage in configs:
            found[stage] = _standing(folder, stage, configs[stage], seed, found, (also or {}).get(stage, ()))
    return tuple(found.values())


def _standing(
    folder: RunFolder, stage: str, config: Mapping[str, Any], seed: int, upstream: Mapping[str, Standing], also: Sequence[str]
) -> Standing:
    path = folder.folder(stage)
    begun = begun_with(path)
    if begun is None:
        return Standing(stage, path, "absent")
    fields = [f"config.{name}" for name in changed_settings(begun["config"], config)]
    if begun["config"]:  # what ships was made from no settings
        fields += [f"config.{name}" for name in config if name not in begun["config"]]
    fields += ["seed"] if begun["seed"] != seed else []
    fields += [f"inputs.{name}" for name, content in begun["inputs"].items() if _input_changed(folder, name, content, upstream)]
    fields += [name for name in also if name not in fields]
    if fields:
        return Standing(stage, path, "stale", tuple(fields))
    return Standing(stage, path, "current" if (path / MANIFEST).exists() else "unfinished")


def changed_settings(before: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Dotted names of the recorded settings that differ."""
    now = json.loads(json.dumps(now))
    names: list[str] = []
    for key, value in before.items():
        dotted = f"{prefix}{key}"
        if isinstance(value, dict) and isinstance(now.get(key), dict):
            names += changed_settings(value, now[key], f"{dotted}.")
        elif key not in now or now[key] != value:
            names.append(dotted)
    return names


def _input_changed(folder: RunFolder, name: str, content: str, upstream: Mapping[str, Standing]) -> bool:
    """Whether an input that is an earlier stage is stale itself or has another manifest than it had."""
    if name not in STAGES:
        return False
    if name in upstream and upstream[name].state in ("stale", "unfinished"):
        return True
    manifest = folder.folder(name) / MANIFEST
    return not manifest.exists() or manifest_hash(manifest.parent) != content
