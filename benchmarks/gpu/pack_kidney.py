"""Packs the kidney tiles into one array that the GPU scripts can carry: `python benchmarks/gpu/pack_kidney.py --mpp 1 --out carry/kidney.npz`.

Reads `$HDGAN_DATA/kidney`: the donors' tiles whole, and the scanned areas of biopsy-a above y = 11264 px (the rest is kept
for tests on real images), each as squares of 256 um with a margin for turning; the label of a square is its source: donor 1, 2, 3, or the biopsy.
Needs numpy and pillow only.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent))

import packed_tiles

SOURCE_MPP = 0.5
SQUARE_PX = 512
STRIDE_PX = 256
TEST_FROM_Y_PX = 11264
MAX_WHITE = 0.5


def squares(root: Path) -> list[tuple[Image.Image, str]]:
    """All squares of 512 px at 0.5 um/px that are less than half white, and the source of each."""
    with (root / "tiles" / "tiles.csv").open() as file:
        donors = {row["file"]: row["donor"] for row in csv.DictReader(file)}
    found = [(Image.open(path).convert("RGB"), donors[path.name]) for path in sorted((root / "tiles").glob("*.jpg"))]
    Image.MAX_IMAGE_PIXELS = None
    slide = Image.open(root / "slides" / "biopsy-a.tif").convert("RGB")
    with (root / "slides" / "biopsy-a.scanned.csv").open() as file:
        areas = [{key: int(value) for key, value in row.items()} for row in csv.DictReader(file)]
    for area in areas:
        if area["y_px"] >= TEST_FROM_Y_PX:
            continue
        for dy in range(0, area["size_px"] - SQUARE_PX + 1, STRIDE_PX):
            for dx in range(0, area["size_px"] - SQUARE_PX + 1, STRIDE_PX):
                x, y = area["x_px"] + dx, area["y_px"] + dy
                found.append((slide.crop((x, y, x + SQUARE_PX, y + SQUARE_PX)), "biopsy-a"))
    return [(square, source) for square, source in found if white_share(square) <= MAX_WHITE]


def white_share(square: Image.Image) -> float:
    """Share of pixels that are bright and without colour."""
    pixels = np.asarray(square)
    low, high = pixels.min(axis=2), pixels.max(axis=2)
    return float(((low > 200) & (high - low < 25)).mean())


def main() -> None:
    """Writes the array."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mpp", type=float, default=1.0, help="scale of the packed squares, um/px")
    parser.add_argument("--out", type=Path, default=Path("carry/kidney.npz"))
    options = parser.parse_args()
    edge = round(SQUARE_PX * SOURCE_MPP / options.mpp)
    found = squares(Path(os.environ["HDGAN_DATA"]) / "kidney")
    tiles = [np.asarray(square.resize((edge, edge), Image.Resampling.BOX)) for square, _ in found]
    names = sorted({source for _, source in found})
    packed_tiles.save(options.out, tiles, mpp=options.mpp, labels=[names.index(source) for _, source in found], names=names)
    print(
        f"{len(tiles)} squares of {len(names)} sources, {edge} px at {options.mpp} um/px: {options.out} ({options.out.stat().st_size / 1e6:.0f} MB)"
    )


if __name__ == "__main__":
    main()
