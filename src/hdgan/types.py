"""Units that must never meet unconverted, and small records shared by several stages.

Frames: *slide* pixels are level-0 pixels of a whole-slide image, *tile* pixels are those of a tile as stored.
Coordinates come only in pairs called `xy`; arrays are indexed `[H, W]`.
"""

from __future__ import annotations

from typing import NewType, TypeAlias

import numpy as np
from numpy.typing import NDArray

SlidePixels = NewType("SlidePixels", int)
"""A length or coordinate in level-0 pixels of a slide."""

TilePixels = NewType("TilePixels", int)
"""A length or coordinate in pixels of a stored tile."""

Mpp = NewType("Mpp", float)
"""Micrometres of tissue per pixel."""

Ring: TypeAlias = NDArray[np.float64]
"""Vertices `xy` `[N, 2]` in pixels; the last one is joined to the first, whether it repeats it or not."""

Polygon: TypeAlias = tuple[Ring, ...]
"""A shell, then its holes."""
