"""The page of the docs that lists every setting, made from the settings themselves: `python -m hdgan.pipeline.reference > docs/reference/settings.md`."""

from __future__ import annotations

import sys
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from hdgan.pipeline.config import RunConfig
from hdgan.pipeline.descriptions import description

_HEAD = """# Settings

Every setting of a run: one TOML file, one section for each stage. Unknown keys and impossible values are refused by name. Texts may hold
`${NAME}`, the environment variable of that name. Relative paths start at the folder of the settings file; only `run.out` starts where the command
is given.

This page is made from the code: `python -m hdgan.pipeline.reference > docs/reference/settings.md`.
"""


def settings_page() -> str:
    """The page, as Markdown."""
    return _HEAD + "".join(f"\n{part}" for part in _sections(RunConfig, ""))


def _sections(model: type[BaseModel], dotted: str) -> Iterator[str]:
    """One table for each section below `model`, outer ones first."""
    plain = {name: field for name, field in model.model_fields.items() if _model_in(field.annotation) is None}
    if plain:
        rows = "".join(_row(field.alias or name, field, description(model, name)) for name, field in plain.items())
        yield f"| setting | kind | default | meaning |\n|---|---|---|---|\n{rows}"
    for name, field in model.model_fields.items():
        inner = _model_in(field.annotation)
        if inner is None:
            continue
        key = f"{dotted}{name}" + (".NAME" if typing.get_origin(field.annotation) is dict else "")
        is_optional = type(None) in typing.get_args(field.annotation)
        text = _one_line(description(model, name) or inner.__doc__ or "") + (" May be left out." if is_optional else "")
        yield f"{'##' if not dotted else '###'} [{key}]\n\n{text}\n"
        yield from _sections(inner, f"{key}.")


def _row(name: str, field: FieldInfo, text: str) -> str:
    default = "required" if field.is_required() else _default(field)
    limits = ", ".join(_limits(field))
    kind = _kind(field.annotation) + (f", {limits}" if limits else "")
    return f"| `{name}` | {kind} | {default} | {_one_line(text)} |\n"


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is None or value is PydanticUndefined or value in ("", {}):
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        value = list(value)
    return f"`{str(value) if isinstance(value, Path) else value}`"


def _limits(field: FieldInfo) -> Iterator[str]:
    for limit in field.metadata:
        if isinstance(limit, Ge):
            yield f"at least {limit.ge}"
        elif isinstance(limit, Gt):
            yield f"above {limit.gt}"
        elif isinstance(limit, Le):
            yield f"at most {limit.le}"
        elif isinstance(limit, Lt):
            yield f"below {limit.lt}"


def _kind(annotation: Any) -> str:
    """A type in words that fit TOML."""
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_kind(part) for part in parts if part is not type(None))
    if origin is typing.Annotated:
        return _kind(parts[0])
    if origin is Literal:
        return " or ".join(f"`{part}`" for part in parts)
    if origin in (tuple, list):
        return f"list of {_kind(parts[0])}"
    if origin is dict:
        return f"table of {_kind(parts[1])}"
    if hasattr(annotation, "__value__"):
        return _kind(annotation.__value__)
    words = {int: "whole number", float: "number", str: "text", bool: "true or false", Path: "path"}
    return words.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The first model that a type is made of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_model_in(part) for part in typing.get_args(annotation))
    return next((part for part in found if part), None)


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(settings_page())
