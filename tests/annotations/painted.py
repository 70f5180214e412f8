"""Ten small samples and the masks drawn on them, shared by the tests of this folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np

EDGE_PX = 24
NUM_SAMPLES = 10


def drawn_mask(index: int) -> np.ndarray:
    mask = np.full((EDGE_PX, EDGE_PX), 1, np.uint8)
    mask[:4] = 0
    mask[10:20, 3:12] = 2
    mask[20:, 20:] = 255
    if index % 3 == 0:
        mask[2:5, 15:18] = 3
    if index == 7:
        mask[12:15, 4:9] = 4
    return mask


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below `folder` with its bytes, but for the lock."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != ".lock")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
