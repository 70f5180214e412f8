"""Does a training that begins with a smaller one arrive earlier? `python benchmarks/growing.py --seeds 0 1 2`.

Painted tissue, 128 tiles. A 16 px generator learns the tiles shrunk to half; at 32 px one training begins with its state, one with its averaged
generator alone (a new discriminator), one with nothing. Printed for each: sliced Wasserstein distance of 7x7 patches of 400
averaged-generator images to 400 crops, grey levels, before and every thousand images; and the floor, another 400 crops.
Needs no data; about 6 minutes a seed on a free core.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
import torch

from hdgan.generator import transfer
from hdgan.generator.config import GeneratorConfig
from hdgan.generator.crops import ArrayTiles, Crops
from hdgan.generator.phases import train_step
from hdgan.generator.protocol import to_uint8
from hdgan.generator.state import TrainingState, new_state
from hdgan.generator.transfer import Source
from hdgan.measures.patches import patch_distance
from hdgan.testing.painter import paint
from hdgan.training.seeds import torch_stream

SHAPE = {"z_dim": 64, "w_dim": 64, "channel_base": 1024, "channel_max": 64, "low_precision": "float32"}
EDGE = 32


def main() -> None:
    """Prints a line for each training and seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--first-kimg", type=float, default=8.0, help="of the training at 16 px")
    parser.add_argument("--kimg", type=float, default=4.0, help="of each training at 32 px")
    parser.add_argument("--every", type=int, default=1000, help="images between two distances")
    parser.add_argument("--tiles", type=int, default=128)
    parser.add_argument("--images", type=int, default=400, help="and crops, of which a distance is made")
    options = parser.parse_args()
    tiles = np.stack([paint(i, size_px=EDGE * 2, mpp=4.0, stain="pas").image for i in range(options.tiles)])
    smaller = tiles.reshape(options.tiles, EDGE, 2, EDGE, 2, 3).mean(axis=(2, 4)).astype(np.uint8)
    crops = Crops(ArrayTiles(tiles), chosen=range(options.tiles), size_px=EDGE, seed=9)
    real, again = crops.batch(10**8, options.images), crops.batch(2 * 10**8, options.images)
    print(f"floor {patch_distance(again, real):.2f}")

    def distance(state: TrainingState) -> float:
        return patch_distance(_drawn(state, options.images), real)

    for seed in options.seeds:
        first = _begun(EDGE // 2, options.first_kimg, seed, None)
        for _ in _training(first, smaller, EDGE // 2, options.first_kimg, seed, options.every):
            pass
        weights = {name: dict(network.state_dict()) for name, network in (("G", first.G), ("mean", first.G_average), ("D", first.D))}
        spec = first.G.spec
        state = Source("state", "", spec, weights["G"], weights["mean"], weights["D"], None)
        mean_alone = Source("weights", "", spec, weights["mean"], weights["mean"], {}, None)
        for name, source in (("from a state", state), ("from its generator", mean_alone), ("from nothing", None)):
            grown = _begun(EDGE, options.kimg, seed, source)
            found = [distance(grown), *(distance(grown) for _ in _training(grown, tiles, EDGE, options.kimg, seed, options.every))]
            print(f"seed {seed} {name:20s} " + " ".join(f"{value:6.2f}" for value in found), flush=True)


def _config(resolution: int, kimg: float) -> GeneratorConfig:
    """One schedule for all, so that only the beginning differs."""
    return GeneratorConfig(resolution=resolution, kimg=kimg, augment="tissue-blit", **SHAPE)  # type: ignore[arg-type]


def _begun(resolution: int, kimg: float, seed: int, source: Source | None) -> TrainingState:
    config = _config(resolution, kimg)
    state = new_state(config.network_spec(), config.train_settings(seed=seed))
    if source is not None:
        transfer.begin_with(state, source)
    return state


def _training(state: TrainingState, tiles: np.ndarray, size: int, kimg: float, seed: int, every: int) -> Iterator[None]:
    """Trains `state`, halting after `every` so many images."""
    settings = _config(size, kimg).train_settings(seed=seed)
    crops = Crops(ArrayTiles(tiles), chosen=range(len(tiles)), size_px=size, seed=seed)
    while state.num_images < kimg * 1000:
        real = torch.from_numpy(crops.batch(state.num_images, settings.batch)).float() / 127.5 - 1
        train_step(state, real, settings)
        if state.num_images % every == 0:
            yield


def _drawn(state: TrainingState, num: int) -> np.ndarray:
    z = torch.randn(num, state.G.spec.z_dim, generator=torch_stream(0, "growing"))
    with torch.no_grad():
        return np.concatenate([to_uint8(state.G_average(part)) for part in z.split(50)]).transpose(0, 3, 1, 2)


if __name__ == "__main__":
    main()
