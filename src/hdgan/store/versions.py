"""Versions of installed packages, for keys and provenance.

`importlib.metadata.version` has the `email` package parse all that a distribution says of itself; a tiling job of one slide asked that nine times.
"""

from __future__ import annotations

import functools
import re
from importlib import metadata

_VERSION = re.compile(r"^Version:[ \t]*(\S+)", re.MULTILINE | re.IGNORECASE)


@functools.cache
def installed_version(name: str) -> str | None:
    """The version of the distribution `name`; None where it is not installed. Looked up once in a process."""
    try:
        found = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return None
    text = found.read_text("METADATA") or found.read_text("PKG-INFO") or ""
    stated = _VERSION.search(text.split("\n\n", 1)[0])  # fields end at the first empty line; a description may follow
    return stated[1] if stated else found.version


def own_version() -> str:
    """The version of hdgan.

    Raises:
        PackageNotFoundError: it runs from a folder of sources without being installed.
    """
    version = installed_version("hdgan")
    if version is None:
        raise metadata.PackageNotFoundError("hdgan")
    return version
