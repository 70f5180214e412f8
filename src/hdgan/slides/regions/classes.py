"""Names of classes as region files write them."""

from __future__ import annotations

from collections.abc import Iterable


def is_of_class(name: str, wanted: Iterable[str]) -> bool:
    """Whether a class is one of those wanted, or derived from one ("glomerulus: sclerosed" is a "glomerulus"); capitals do not matter."""
    folded = name.casefold()
    return any(folded == entry.casefold() or folded.startswith(f"{entry.casefold()}:") for entry in wanted)
