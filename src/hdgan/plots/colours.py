"""Masks in the colours of their classes. Masks uint8 `[H, W]`, pictures uint8 `[H, W, 3]`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hdgan.labels import ClassMap


def coloured(mask: NDArray[np.uint8], classes: ClassMap) -> NDArray[np.uint8]:
    """The mask in the colours of `classes`; black where the value is no class (255: ignored)."""
    table = np.zeros((256, 3), dtype=np.uint8)
    table[: len(classes)] = [entry.rgb for entry in classes.classes]
    return table[mask]
