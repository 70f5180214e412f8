"""How far a run's generated images are from its real tiles: `python benchmarks/sample_distance.py RUN [GENERATOR.safetensors ...] [--num 400]`.

`--num` images of each against as many random turned crops of the run's tiles (the training tiles: nothing is held out). Columns: sliced
Wasserstein distance of 7x7 patches at full, half and quarter size, grey levels; `stains`, the standard deviation of the images' mean
colour. The first line is as many other crops: the floor. Without a file the run's own generator is measured.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from hdgan.generator.crops import Crops
from hdgan.generator.protocol import to_uint8
from hdgan.generator.weights import FILE, TrainedGenerator, load_generator
from hdgan.measures.patches import patch_distance, shrunk, stain_spread
from hdgan.store.archive import TileArchive
from hdgan.store.layout import RunFolder
from hdgan.training.seeds import torch_stream


def main() -> None:
    """Prints a line for the real tiles and two for each generator."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("generators", type=Path, nargs="*")
    parser.add_argument("--num", type=int, default=400, help="images and crops")
    options = parser.parse_args()
    run = RunFolder(options.run)
    found = [load_generator(path) for path in options.generators or [run.folder("generator") / FILE]]
    tiles = TileArchive(run.folder("tiles"))
    crops = Crops(tiles, chosen=range(len(tiles)), size_px=found[0].resolution, seed=5)
    real, again = crops.batch(10**8, options.num), crops.batch(2 * 10**8, options.num)
    print("images        psi  patches x1    x2    x4  stains")
    tell("real tiles", None, again, real)
    for generator in found:
        for psi in (1.0, 0.7):
            tell(f"{generator.facts.get('images', 0):,}", psi, draw(generator, psi, options.num), real)


def draw(generator: TrainedGenerator, psi: float, num: int) -> np.ndarray:
    """`[num, 3, R, R]` uint8."""
    z = torch.randn(num, generator.z_dim, generator=torch_stream(0, "sample_distance"))
    return np.concatenate([to_uint8(generator.render(generator.map(part, psi=psi))) for part in z.split(20)]).transpose(0, 3, 1, 2)


def tell(name: str, psi: float | None, images: np.ndarray, real: np.ndarray) -> None:
    """One line."""
    distances = [patch_distance(shrunk(images, factor), shrunk(real, factor)) for factor in (1, 2, 4)]
    shown = "" if psi is None else f"{psi:.1f}"
    print(f"{name:12}  {shown:3}  {distances[0]:10.2f}  {distances[1]:4.2f}  {distances[2]:4.2f}  {stain_spread(images):6.1f}", flush=True)


if __name__ == "__main__":
    main()
