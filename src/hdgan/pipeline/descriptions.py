"""What a setting is, in the words that stand below it where it is defined.

Read from the source when somebody asks, on the page of all settings or after a mistake: pydantic would read it for every model each time that a
command starts.
"""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
from collections.abc import Mapping
from itertools import pairwise

from pydantic import BaseModel


def description(model: type[BaseModel], name: str) -> str:
    """The text below the field `name` of `model` or of a model that it is made from; empty where there is none."""
    for owner in model.__mro__:
        if owner is not BaseModel and issubclass(owner, BaseModel) and name in _texts(owner):
            return _texts(owner)[name]
    return ""


@functools.cache
def _texts(model: type[BaseModel]) -> Mapping[str, str]:
    """The texts below the fields that stand in the body of `model`, by the names of the fields."""
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(model))).body
    assert isinstance(body, ast.ClassDef), "a model is a class"
    return {
        field.target.id: inspect.cleandoc(text.value.value)
        for field, text in pairwise(body.body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }
