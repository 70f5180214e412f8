"""Which layers should have noise inputs, measured on painted tissue: `python benchmarks/noise_inputs.py [--images 12000]`.

Trains a 16 px generator of preset `small` on painted PAS slides (16 um/px) with noise from 4, 8 or 16 px on, and without, two seeds
each, one to two minutes of one core per run. Images are drawn with fresh noise. Columns:

- `patches`: sliced Wasserstein distance of 7x7 patches to real tiles, grey levels (arXiv 1710.10196, appendix), lower is better;
- `common`: the mean image of all, each less its own mean, on a 4x4 grid: mean square in grey levels. Tissue has no preferred place, so
  whatever exceeds the real tiles' figure is one layout that all images share;
- `varied`: the variance of that grid between images.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch

from hdgan.generator import presets
from hdgan.generator.crops import ArrayTiles, Crops
from hdgan.generator.phases import train_step
from hdgan.generator.protocol import to_uint8
from hdgan.generator.settings import TrainSettings
from hdgan.generator.spec import NetworkSpec
from hdgan.generator.state import TrainingState, new_state
from hdgan.measures.patches import patch_distance
from hdgan.store.atomic import read_image
from hdgan.testing.cohort import paint_cohort

RESOLUTION = 16
NETWORK = {"channel_base": 512, "channel_max": 64, "low_precision": "float32", "noise_maps": "own"}
NO_NOISE = 2 * RESOLUTION


def main() -> None:
    """Prints the real tiles' figures and a line for each run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=12000)
    parser.add_argument("--noise-from", type=int, nargs="+", default=[4, 8, 16, NO_NOISE], help="px; more than 16: no noise")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--compared", type=int, default=512, help="images and crops, of which the figures are made")
    options = parser.parse_args()
    torch.set_num_threads(1)
    crops = painted_crops()
    real, again = crops.batch(10**8, options.compared), crops.batch(2 * 10**8, options.compared)
    print("noise from  seed  patches  common  varied")
    print(f"{'real tiles':10}  {'':4}  {patch_distance(again, real):7.2f}  {common(real):6.2f}  {varied(real):6.1f}", flush=True)
    for noise_from in options.noise_from:
        for seed in range(options.seeds):
            fake = draw(train(crops, noise_from, seed, options.images), options.compared)
            name = f"{noise_from} px" if noise_from <= RESOLUTION else "nowhere"
            print(f"{name:10}  {seed:4}  {patch_distance(fake, real):7.2f}  {common(fake):6.2f}  {varied(fake):6.1f}", flush=True)


def painted_crops() -> Crops:
    """Turned crops of 16 px from painted PAS slides of eight patients."""
    with tempfile.TemporaryDirectory() as folder:
        slides = paint_cohort(Path(folder), num_patients=8, size_px=112, mpp=16.0, scale=1.6, density=2.0, stains=("pas",))
        pictures = [read_image(slide.path) for slide in slides]
    tiles = [picture[y : y + 24, x : x + 24] for picture in pictures for y in range(0, 89, 8) for x in range(0, 89, 8)]
    return Crops(ArrayTiles(np.stack(tiles)), chosen=range(len(tiles)), size_px=RESOLUTION, seed=0)


def train(crops: Crops, noise_from: int, seed: int, num_images: int) -> TrainingState:
    """A generator trained on `num_images` crops."""
    spec = NetworkSpec(resolution=RESOLUTION, **presets.network("small", RESOLUTION) | NETWORK | {"noise_from_px": noise_from})
    settings = TrainSettings(**presets.training("small", RESOLUTION) | {"augment": "tissue-blit", "seed": seed})
    state = new_state(spec, settings)
    while state.num_images < num_images:
        real = torch.from_numpy(crops.batch(state.num_images, settings.batch)).float().div(127.5).sub(1.0)
        train_step(state, real.contiguous(memory_format=torch.channels_last), settings)
    return state


def draw(state: TrainingState, num: int) -> np.ndarray:
    """Images `[num, 3, 16, 16]` uint8 of the averaged generator."""
    z = torch.randn(num, state.G.spec.z_dim, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return to_uint8(state.G_average(z, noise="random")).transpose(0, 3, 1, 2)


def _layout(images: np.ndarray) -> np.ndarray:
    """`[N, 4, 4]`: mean grey of each sixteenth, less the image's mean."""
    grey = images.mean(axis=1).reshape(len(images), 4, RESOLUTION // 4, 4, RESOLUTION // 4).mean(axis=(2, 4))
    return np.asarray(grey - grey.mean(axis=(1, 2), keepdims=True))


def common(images: np.ndarray) -> float:
    """Mean square of the layout that all have in common."""
    return float((_layout(images).mean(axis=0) ** 2).mean())


def varied(images: np.ndarray) -> float:
    """Variance of the layout between images."""
    return float(_layout(images).var(axis=0).mean())


if __name__ == "__main__":
    main()
