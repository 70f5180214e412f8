"""Resumable state on disk: numbered safetensors files, the newest whole one wins, damaged ones are skipped by name.

A file holds tensors, and in its metadata a JSON object of plain facts, a digest of them, and a digest of every tensor byte
(safetensors itself does not notice a flipped bit).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from hdgan.store.atomic import replacing

_PATTERN = "state-*.safetensors"
_BEST = "best-*.safetensors"
Misfit = Callable[[dict[str, Tensor], dict[str, Any]], str | None]
"""Why tensors and facts are none of this training's, in words; None: they are."""


@dataclass(frozen=True)
class Checkpoint:
    """A state as read: `tensors` on the CPU, plain `facts`, the `path` it came from, and what was `skipped` as damaged."""

    tensors: dict[str, Tensor]
    facts: dict[str, Any]
    path: Path
    skipped: tuple[str, ...] = ()


def save(folder: Path, *, step: int, tensors: dict[str, Tensor], facts: dict[str, Any], keep: int = 3) -> Path:
    """Writes state number `step` and removes all earlier ones but the newest; `keep` are left. The file's path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"state-{step:09d}.safetensors"
    write_tensors(path, tensors, facts)
    # States of later steps were skipped when this training went on from an earlier one: counted among the newest they would push this one out.
    for old in [other for other in _states(folder) if other.name <= path.name][:-keep]:
        old.unlink()
    return path


def save_best(folder: Path, *, step: int, tensors: dict[str, Tensor], facts: dict[str, Any]) -> Path:
    """Writes state number `step` as the best so far, beside the newest ones, and removes the former best; the file's path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"best-{step:09d}.safetensors"
    write_tensors(path, tensors, facts)
    for old in folder.glob(_BEST):
        if old != path:
            old.unlink()
    return path


def last_step(folder: Path) -> int:
    """The step of the newest state by its name, whether or not it can be read; 0 without any."""
    return max((int(path.stem.rsplit("-", 1)[1]) for path in _states(folder)), default=0)


def _states(folder: Path) -> list[Path]:
    """The states that `save` wrote, in their order; a copy under another name is its owner's."""
    return sorted(path for path in folder.glob(_PATTERN) if re.fullmatch(r"state-\d{9,}", path.stem))


def set_aside(folder: Path, kept: Path) -> Path | None:
    """Moves the newest state of `folder` to the folder `kept`, which holds one alone: that of the most steps.

    Its new path; None where there is no state, or one of more steps is kept already.
    """
    states = _states(folder)
    if not states or last_step(kept) > last_step(folder):
        return None
    kept.mkdir(parents=True, exist_ok=True)
    moved = states[-1].replace(kept / states[-1].name)
    for other in _states(kept):
        if other != moved:
            other.unlink()
    return moved


def newest(folder: Path, *, misfit: Misfit | None = None, tell: Callable[[str], None] | None = None) -> Checkpoint | None:
    """The newest state that is whole, else the best one, or None; the others are named in `skipped`, and to `tell` also where none is left.

    `misfit` says of a whole state why it belongs to something else; None: it does not.
    """
    skipped: list[str] = []
    for path in (*reversed(_states(folder)), *folder.glob(_BEST)):
        try:
            tensors, facts = read_tensors(path)
            if misfit is not None and (why := misfit(tensors, facts)):
                raise ValueError(why)
        except ValueError as error:
            skipped.append(f"{path.name}: {error}")
            if tell is not None:
                tell(skipped[-1])
            continue
        return Checkpoint(tensors, facts, path, tuple(skipped))
    return None


def write_tensors(path: Path, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
    """Writes tensors and facts, whole or not at all; equal content gives equal bytes."""
    held = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    # One key only: safetensors writes several in an order that changes from call to call.
    plain = json.loads(json.dumps(facts, allow_nan=False))  # as it will be read: tuples are lists, and keys are text
    about = {"digest": digest(held), "facts": plain, "facts_digest": _facts_digest(plain)}
    metadata = {"hdgan": json.dumps(about, sort_keys=True, allow_nan=False)}
    with replacing(path, is_nested=True) as temporary:  # safetensors writes a temporary file of its own beside it
        temporary.touch()
        mode = temporary.stat().st_mode
        try:
            save_file(held, temporary, metadata=metadata)
            temporary.chmod(mode)  # safetensors' own file is for its owner alone; a run may be a group's
        except SafetensorError as error:
            number = re.search(r"os error (\d+)", str(error))
            if number is None:
                raise
            raise OSError(int(number[1]), str(error)) from error


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and facts of a file of `write_tensors`.

    Raises:
        ValueError: the file is cut short, altered, or of another kind; the message says which.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        facts, stated = _about(metadata)
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise ValueError(f"not a whole file of ours ({error})") from error
    if digest(tensors) != stated:
        raise ValueError("its content does not match its own digest")
    return tensors, facts


def read_facts(path: Path) -> dict[str, Any]:
    """The facts of a file of `write_tensors`, without reading the tensors: they are not compared with their digest.

    Raises:
        ValueError: the file is of another kind, or has no whole header.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return _about(file.metadata() or {})[0]
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise ValueError(f"not a whole file of ours ({error})") from error


def _about(metadata: dict[str, str]) -> tuple[dict[str, Any], str]:
    """Facts and the tensors' digest; files written before the two shared one key, or before facts had a digest, are read too.

    Raises:
        KeyError, ValueError: there are none, or the facts do not match their digest.
    """
    about = json.loads(metadata["hdgan"])
    if "digest" in metadata:
        return about, metadata["digest"]
    if about.get("facts_digest", stated := _facts_digest(about["facts"])) != stated:
        raise ValueError("its facts do not match their own digest")
    return about["facts"], about["digest"]


def _facts_digest(facts: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def digest(tensors: dict[str, Tensor]) -> str:
    """sha256 over names, types, shapes and bytes, in the order of the names."""
    sha = hashlib.sha256()
    for name in sorted(tensors):
        array = tensors[name].detach().cpu().contiguous()
        sha.update(f"{name}\0{array.dtype}\0{tuple(array.shape)}\0".encode())
        sha.update(array.flatten().view(-1).numpy().tobytes())
    return sha.hexdigest()
