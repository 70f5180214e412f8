"""TOML settings, read into a model, with one clear line for each mistake.

Text values may hold `${NAME}`: the environment variable of that name.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from hdgan.errors import BadConfig, BadInput
from hdgan.pipeline.descriptions import description

Model = TypeVar("Model", bound=BaseModel)

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def read_settings(path: Path, model: type[Model], *, environment: Mapping[str, str] | None = None, lenient: bool = False) -> Model:
    """The settings at `path` as a `model`.

    `lenient` leaves variables that are not set as they are written, for looking at settings on a machine without the data.

    Raises:
        BadConfig: the file is missing or no TOML, a key is unknown, a value impossible, a variable not set; the message
            holds file, dotted key, value and what to do.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8-sig"))  # editors of Windows begin a file with a mark
    except FileNotFoundError as error:
        raise BadConfig(path, "no such file", "recipes to begin from are in the folder recipes/") from error
    except (OSError, UnicodeDecodeError) as error:
        raise BadConfig(path, f"cannot be read ({error})") from error
    except tomllib.TOMLDecodeError as error:
        raise BadConfig(path, f"is no TOML: {error}") from error
    filled = _fill(data, (), os.environ if environment is None else environment, path, lenient=lenient)
    return parse_settings(filled, model, where=path)


def parse_settings(data: Mapping[str, Any], model: type[Model], *, where: str | Path) -> Model:
    """The `model` that plain `data` describes; raises as `read_settings`, with `where` for the file."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise _explain(error, model, where) from error
    except BadInput as error:
        raise BadConfig(f"{where}: {error.where}", error.what, error.remedy) from error


def _fill(value: Any, at: tuple[str, ...], environment: Mapping[str, str], path: Path, *, lenient: bool) -> Any:
    """`value` with every `${NAME}` in its texts replaced."""
    if isinstance(value, dict):
        return {key: _fill(entry, (*at, key), environment, path, lenient=lenient) for key, entry in value.items()}
    if isinstance(value, list):
        return [_fill(entry, (*at, str(i)), environment, path, lenient=lenient) for i, entry in enumerate(value)]
    if not isinstance(value, str):
        return value

    def lookup(match: re.Match[str]) -> str:
        name = match[1]
        if name in environment:
            return environment[name]
        if lenient:
            return match[0]
        raise BadConfig(f"{path}: {'.'.join(at)}", f"the environment variable {name} is not set", f"export {name}=... and run again")

    return _VARIABLE.sub(lookup, value)


def _explain(error: ValidationError, model: type[BaseModel], where: str | Path) -> BadConfig:
    """The first mistake of `error`, in one line."""
    mistakes = error.errors(include_url=False)
    mistake = mistakes[0]
    dotted = ".".join(str(part) for part in mistake["loc"]) or "settings"
    more = f" (and {len(mistakes) - 1} more)" if len(mistakes) > 1 else ""
    if mistake["type"] == "extra_forbidden":
        return BadConfig(f"{where}: {dotted}", f"unknown key{more}", _nearest(model, mistake["loc"]))
    if mistake["type"] == "missing":
        return BadConfig(f"{where}: {dotted}", f"is missing{more}", _meaning(model, mistake["loc"]))
    text = mistake["msg"].removeprefix("Value error, ")
    text = text[:1].lower() + text[1:]
    given = mistake["input"]
    received = "" if isinstance(given, Mapping) else f"{_short(given)} is impossible: "
    return BadConfig(f"{where}: {dotted}", f"{received}{text}{more}", _meaning(model, mistake["loc"]))


def _nearest(model: type[BaseModel], location: Sequence[int | str]) -> str:
    """The known key that looks like the unknown one at `location`, else all known ones."""
    owner = _model_at(model, location[:-1])
    known = sorted(field.alias or name for name, field in owner.model_fields.items()) if owner else []
    near = difflib.get_close_matches(str(location[-1]), known, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"known are {', '.join(known)}" if known else ""


def _meaning(model: type[BaseModel], location: Sequence[int | str]) -> str:
    """What the setting at `location` is, as its owner describes it."""
    names = [part for part in location if isinstance(part, str)]
    for length in range(len(names), 0, -1):
        owner = _model_at(model, names[: length - 1])
        field = _field_of(owner, names[length - 1]) if owner else None
        if owner and field:
            text = description(owner, field)
            return f"it is: {' '.join(text.split())}" if text else ""
    return ""


def _field_of(owner: type[BaseModel], key: str) -> str | None:
    """The name of the field that is written as `key` in settings."""
    return next((name for name, field in owner.model_fields.items() if key in (name, field.alias)), None)


def _model_at(model: type[BaseModel], location: Sequence[int | str]) -> type[BaseModel] | None:
    """The model that the part of the settings at `location` is read into."""
    current: type[BaseModel] | None = model
    for part in location:
        if current is None or str(part) not in current.model_fields:
            return None
        current = _model_in(current.model_fields[str(part)].annotation)
    return current


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The first model that a type is made of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if typing.get_origin(annotation) in (typing.Union, types.UnionType, typing.Annotated):
        found = (_model_in(part) for part in typing.get_args(annotation))
        return next((part for part in found if part), None)
    return None


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
