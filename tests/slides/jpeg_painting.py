"""Painted slides of JPEG tiles, as scanners write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from tests.slides.painting import halved, paint

COLOURS: dict[str, dict[str, Any]] = {
    "rgb": {"photometric": "rgb"},
    "4:4:4": {"photometric": "ycbcr", "subsampling": (1, 1)},
    "4:2:2": {"photometric": "ycbcr", "subsampling": (2, 1)},
    "4:2:0": {"photometric": "ycbcr", "subsampling": (2, 2)},
}


def write_jpeg_slide(
    path: Path,
    pixels: np.ndarray | None = None,
    *,
    colour: str = "4:2:0",
    tile: int = 64,
    levels: int = 2,
    mpp: float = 0.5,
    quality: int = 90,
) -> Path:
    """A pyramid of JPEG tiles: an Aperio slide where `path` ends in .svs, else a plain tiled TIFF. Levels halve."""
    is_aperio = path.suffix == ".svs"
    level = paint() if pixels is None else pixels
    with tifffile.TiffWriter(path) as writer:
        for index in range(levels):
            size = f"{level.shape[1]}x{level.shape[0]}"
            said = {
                "description": f"Aperio Image Library v11.2.1\r\n{size} [0,0 {size}] ({tile}x{tile}) JPEG/RGB Q={quality}|AppMag = 20|MPP = {mpp}"
            }
            scale = {"resolution": (1e4 / mpp, 1e4 / mpp), "resolutionunit": "CENTIMETER"} if index == 0 and not is_aperio else {}
            writer.write(
                level,
                tile=(tile, tile),
                compression="jpeg",
                compressionargs={"level": quality},
                subfiletype=1 if index and not is_aperio else 0,
                metadata=None,
                **COLOURS[colour],
                **(said if is_aperio else {}),
                **scale,
            )
            level = halved(level)
    return path
