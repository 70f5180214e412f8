"""Does a small generator learn tissue on a processor: quality at the first and the last snapshot of short trainings.

`python benchmarks/generator/learning.py [--resolutions 32 64] [--seeds 0 1 2] [--kimg 12] [--grids FOLDER]`. Painted kidney tissue (PAS and H&E, 64 tiles),
preset `small` at half its width. `quality` is the Frechet distance of 256 images to 256 crops in the offline embedder's features, `floor` that
of other crops. The claim is that the last is at most half of the first. Needs no data.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))

from hdgan.generator.config import GeneratorConfig
from hdgan.generator.crops import ArrayTiles, Crops
from hdgan.generator.state import new_state
from hdgan.generator.train import GRIDS, Upkeep, train
from hdgan.progress import SILENT
from hdgan.store.atomic import read_image, write_png
from hdgan.testing.painter import paint
from hdgan.training import checkpoint
from hdgan.training.memory import keep_freed_memory

NUM_TILES = 64
MPP = {16: 8.0, 32: 4.0, 64: 2.0}
"""The field is 128 um at every size."""


def main() -> None:
    """Prints a line for each resolution and seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resolutions", type=int, nargs="+", default=[32, 64], choices=sorted(MPP))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--kimg", type=float, default=12.0)
    parser.add_argument("--snapshots", type=int, default=6)
    parser.add_argument("--grids", type=Path, help="where to put the first and the last grid of each training")
    options = parser.parse_args()
    keep_freed_memory()
    print("edge  seed  images/s   first    last   floor  last/first")
    for resolution in options.resolutions:
        tiles = painted(resolution)
        for seed in options.seeds:
            rows, rate = learn(tiles, resolution, seed, options)
            first, last, floor = rows[0]["quality"], rows[-1]["quality"], rows[-1]["quality_floor"]
            print(f"{resolution:4}  {seed:4}  {rate:8.1f}  {first:6.1f}  {last:6.1f}  {floor:6.2f}  {last / first:10.2f}", flush=True)


def painted(resolution: int) -> np.ndarray:
    """Tiles of twice the edge, so that crops can be turned by any angle."""
    stains = ("pas", "he")
    return np.stack(
        [
            paint(seed, size_px=2 * resolution, mpp=MPP[resolution], outline="full", stain=stains[seed % 2]).image
            for seed in range(NUM_TILES)
        ]
    )


def learn(
    tiles: np.ndarray, resolution: int, seed: int, options: argparse.Namespace, **fields: Any
) -> tuple[list[dict[str, float]], float]:
    """What was measured at each snapshot, and images per second; `fields` are further settings of the generator."""
    config = GeneratorConfig(
        preset="small", resolution=resolution, channel_base=2048, kimg=options.kimg, augment="histology-blit", **fields
    )
    settings = config.train_settings(seed=seed)
    crops = Crops(ArrayTiles(tiles), chosen=range(len(tiles)), size_px=resolution, seed=seed)
    state = new_state(config.network_spec(), settings)
    upkeep = Upkeep(snapshot_images=int(options.kimg * 1000 / options.snapshots), save_seconds=1e9, quality_images=256)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        train(state, crops, settings, out=Path(folder), upkeep=upkeep, progress=SILENT)
        found = checkpoint.newest(Path(folder) / "state")
        assert found is not None
        rows = [row for row in found.facts["rows"] if "quality" in row]
        grids = sorted((Path(folder) / GRIDS).glob("*.png"))
        if options.grids:
            for name, path in (("first", grids[0]), ("last", grids[-1])):
                write_png(options.grids / f"{resolution}px-seed{seed}-{name}.png", read_image(path))
    return rows, state.num_images / (time.monotonic() - begun)


if __name__ == "__main__":
    main()
