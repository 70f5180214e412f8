"""Libraries of the optional extras, imported when they are needed, or an error that says how to get them."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

from hdgan.errors import MissingExtra


def require(module: str, *, extra: str) -> ModuleType:
    """The imported `module`.

    Raises:
        MissingExtra: it is not installed; the message names the extra that holds it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        message = f"{module} is not installed ({error}); get it with: pip install 'hdgan[{extra}]'"
        raise MissingExtra(message) from error


def ndimage() -> Any:
    """`scipy.ndimage`, which a plain install does not have: a third of all that it would bring, and 0.2 s of every start.

    Raises:
        MissingExtra: it is not installed.
    """
    return require("scipy.ndimage", extra="gan")
