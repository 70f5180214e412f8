"""What adaptive augmentation is worth where tiles are few: none, the published set and the histology set, on few and many tiles.

`python benchmarks/generator/scarce_data.py [--tiles 100 400 1600] [--sets none bgc histology] [--kimg 60] [--seeds 0] [--resolution 32] [--out FILE]`. Painted
kidney tissue (PAS and H&E), preset `small` at half its width, tiles mirrored but not turned by every angle, so that few tiles are few images. Images of
the averaged generator are measured at psi 1 against as many tiles that no training saw: Frechet distance in the offline embedder's features at the best
and the last of six snapshots, precision and recall at the last. The row `real` is that of other unseen tiles. A file given by `--out` keeps
finished rows; the same command goes on. Needs no data.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))

from hdgan.generator.config import GeneratorConfig
from hdgan.generator.crops import ArrayTiles, Crops
from hdgan.generator.protocol import to_uint8
from hdgan.generator.state import TrainingState, new_state
from hdgan.generator.train import Upkeep, train
from hdgan.generator.weights import TrainedGenerator
from hdgan.measures.embedder import Scale
from hdgan.measures.resemblance import Resemblance, resemblance
from hdgan.measures.scattering import Scattering
from hdgan.progress import SILENT
from hdgan.testing.painter import paint
from hdgan.training.memory import keep_freed_memory

FIELD_UM = 128.0
FIRST_UNSEEN = 100_000
SNAPSHOTS = 6
HEAD = f"{'tiles':>6} {'set':>15} {'seed':>5} {'best':>8} {'last':>8} {'precision':>10} {'recall':>7} {'chance':>7}"


def main() -> None:
    """Prints a line for each number of tiles, set and seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiles", type=int, nargs="+", default=[100, 400, 1600])
    parser.add_argument("--sets", nargs="+", default=["none", "bgc", "histology"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--kimg", type=float, default=60.0)
    parser.add_argument("--resolution", type=int, default=32)
    parser.add_argument("--images", type=int, default=1000, help="samples and unseen tiles that are compared")
    parser.add_argument("--out", type=Path, help="JSON lines of finished rows")
    options = parser.parse_args()
    keep_freed_memory()
    judge = Judge(options.resolution, options.images)
    print(HEAD)
    print(f"{'real':>6} {'':>15} {'':>5} {'':>8} {judge.floor.frechet:8.1f} {_shares(judge.floor)}")
    done = _rows(options.out)
    for num in options.tiles:
        for name in options.sets:
            for seed in options.seeds:
                key = [num, name, seed, options.kimg, options.resolution, options.images]
                row = next((row for row in done if row["key"] == key), None)
                if row is None:
                    row = {"key": key} | learn(num, name, seed, options, judge)
                    if options.out:
                        with options.out.open("a") as file:
                            file.write(json.dumps(row) + "\n")
                print(f"{num:6} {name:>15} {seed:5} {row['best']:8.1f} {row['last']:8.1f} {row['shares']} {row['chance']:7.2f}", flush=True)


class Judge:
    """Tiles that no training sees, embedded once."""

    def __init__(self, resolution: int, num: int) -> None:
        self.embedder, self.num = Scattering(resolution), num
        # A tile of its own for each image: copies would leave the neighbourhoods of precision empty.
        firsts = (FIRST_UNSEEN, FIRST_UNSEEN + num)
        self.real, again = (self._embedded(painted(range(first, first + num), resolution)) for first in firsts)
        self.scale = Scale(self.real)
        self.floor = resemblance(again, real=self.real, scale=self.scale)

    def of(self, state: TrainingState) -> Resemblance:
        """The images of the averaged generator."""
        generator = TrainedGenerator(state.G_average, mpp=None)
        z = torch.randn(self.num, generator.z_dim, generator=torch.Generator().manual_seed(5))
        images = np.concatenate([to_uint8(generator.render(generator.map(part, psi=1.0))) for part in torch.split(z, 64)])
        return resemblance(self._embedded(images), real=self.real, scale=self.scale)

    def _embedded(self, images: np.ndarray) -> np.ndarray:
        return np.concatenate([self.embedder.embed(images[i : i + 200]) for i in range(0, len(images), 200)])


def painted(numbers: range, resolution: int) -> np.ndarray:
    """Tiles of the training crops' edge, PAS and H&E in turn."""
    look = {"size_px": resolution, "mpp": FIELD_UM / resolution, "outline": "full"}
    return np.stack([paint(number, stain=("pas", "he")[number % 2], **look).image for number in numbers])


def cropped(tiles: np.ndarray, *, seed: int) -> Crops:
    """Whole tiles, mirrored along both axes."""
    return Crops(ArrayTiles(tiles), chosen=range(len(tiles)), size_px=tiles.shape[1], seed=seed, is_turned=False, flips="both")


def learn(num: int, name: str, seed: int, options: argparse.Namespace, judge: Judge) -> dict[str, object]:
    """Trains on `num` tiles with augmentation set `name`; distances at the snapshots and what the last is like."""
    config = GeneratorConfig(
        preset="small", resolution=options.resolution, channel_base=2048, kimg=options.kimg, augment=name, is_turned=False, flips="both"
    )
    crops = cropped(painted(range(num), options.resolution), seed=seed)
    settings = config.train_settings(seed=seed)
    state = new_state(config.network_spec(), settings)
    found: list[Resemblance] = []
    for part in range(1, SNAPSHOTS + 1):
        so_far = config.model_copy(update={"kimg": options.kimg * part / SNAPSHOTS}).train_settings(seed=seed)
        with tempfile.TemporaryDirectory() as folder:
            train(state, crops, so_far, out=Path(folder), upkeep=Upkeep(snapshot_images=10**9, save_seconds=1e9), progress=SILENT)
        found.append(judge.of(state))
    distances = [one.frechet for one in found]
    return {"best": min(distances), "last": distances[-1], "distances": distances, "shares": _shares(found[-1]), "chance": state.ada_p}


def _shares(found: Resemblance) -> str:
    return f"{found.shares.precision:10.2f} {found.shares.recall:7.2f}"


def _rows(path: Path | None) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path and path.exists() else []


if __name__ == "__main__":
    main()
