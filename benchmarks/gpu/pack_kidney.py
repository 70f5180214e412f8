"""Packs the kidney tiles into one array that the GPU scripts can carry: `python benchmarks/gpu/pack_kidney.py --mpp 1 --out carry/kidney.npz`.

Reads `$HDGAN_DATA/kidney`: the donors' tiles whole, and the scanned areas of biopsy-a above y = 11264 px (the rest is kept
for tests on real images), each as squares of 256 um with a margin for turning; the label of a square is its source: donor 1, 2, 3, or the biopsy.
Four squares more lie about each outlined glomerulus of the biopsy, and they and the donors' tiles with one (`recipes/kidney_outlines`) are seen `--repeats`
times as often: at 64 px a generator drew none from the grid alone (dev/LOG.md). Needs numpy and pillow only.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent))

import packed_tiles

SOURCE_MPP = 0.5
SQUARE_PX = 512
STRIDE_PX = 256
TEST_FROM_Y_PX = 11264
MAX_WHITE = 0.5
OUTLINES = Path(__file__).resolve().parents[2] / "recipes" / "kidney_outlines"
OFFSETS_PX = ((-96, -96), (96, -96), (-96, 96), (96, 96))
"""Of the squares about a glomerulus, so that it is seen from four sides; crops are turned anyway."""


def squares(root: Path) -> list[tuple[Image.Image, str, bool]]:
    """All squares of 512 px at 0.5 um/px that are less than half white, the source of each, and whether it was chosen for a glomerulus."""
    with (root / "tiles" / "tiles.csv").open() as file:
        donors = {row["file"]: row["donor"] for row in csv.DictReader(file)}
    paths = sorted((root / "tiles").glob("*.jpg"))
    found = [(Image.open(path).convert("RGB"), donors[path.name], (OUTLINES / f"{path.stem}.geojson").exists()) for path in paths]
    Image.MAX_IMAGE_PIXELS = None
    slide = Image.open(root / "slides" / "biopsy-a.tif").convert("RGB")
    with (root / "slides" / "biopsy-a.scanned.csv").open() as file:
        areas = [{key: int(value) for key, value in row.items()} for row in csv.DictReader(file)]
    middles = glomeruli(root / "slides" / "biopsy-a.geojson")
    for area in areas:
        if area["y_px"] >= TEST_FROM_Y_PX:
            continue
        left, top, room = area["x_px"], area["y_px"], area["size_px"] - SQUARE_PX
        corners = [(left + dx, top + dy, False) for dy in range(0, room + 1, STRIDE_PX) for dx in range(0, room + 1, STRIDE_PX)]
        inside = [(x, y) for x, y in middles if left <= x < left + area["size_px"] and top <= y < top + area["size_px"]]
        for x, y in inside:
            about = [(x + dx - SQUARE_PX // 2, y + dy - SQUARE_PX // 2) for dx, dy in OFFSETS_PX]
            corners += [(min(max(x, left), left + room), min(max(y, top), top + room), True) for x, y in about]
        found += [(slide.crop((x, y, x + SQUARE_PX, y + SQUARE_PX)), "biopsy-a", is_chosen) for x, y, is_chosen in corners]
    return [each for each in found if white_share(each[0]) <= MAX_WHITE]


def glomeruli(path: Path) -> list[tuple[int, int]]:
    """The middle of the box around each outline, px of the slide."""
    found = []
    for feature in json.loads(path.read_text())["features"]:
        outline = np.concatenate([np.asarray(ring, dtype=np.float64) for ring in rings(feature["geometry"])])
        x, y = (outline.min(axis=0) + outline.max(axis=0)) / 2
        found.append((round(x), round(y)))
    return found


def rings(geometry: dict[str, Any]) -> list[list[list[float]]]:
    """Those of a GeoJSON polygon, or of several."""
    polygons = [geometry["coordinates"]] if geometry["type"] == "Polygon" else geometry["coordinates"]
    return [ring for polygon in polygons for ring in polygon]


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
    parser.add_argument(
        "--repeats", type=int, default=2, help="how often squares chosen for a glomerulus are seen while the others are seen once"
    )
    options = parser.parse_args()
    edge = round(SQUARE_PX * SOURCE_MPP / options.mpp)
    found = squares(Path(os.environ["HDGAN_DATA"]) / "kidney")
    tiles = [np.asarray(square.resize((edge, edge), Image.Resampling.BOX)) for square, _, _ in found]
    names = sorted({source for _, source, _ in found})
    labels, repeats = [names.index(source) for _, source, _ in found], [options.repeats if is_chosen else 1 for *_, is_chosen in found]
    packed_tiles.save(options.out, tiles, mpp=options.mpp, labels=labels, names=names, repeats=repeats)
    share = sum(n for n in repeats if n > 1) / sum(repeats)
    size = f"{edge} px at {options.mpp} um/px: {options.out} ({options.out.stat().st_size / 1e6:.0f} MB)"
    print(f"{len(tiles)} squares of {len(names)} sources, {share:.0%} of a round chosen for a glomerulus, {size}")


if __name__ == "__main__":
    main()
