"""How good a run's generator is: its samples beside real crops, and whether any of them is a copy of a training tile.

Reads `1-tiles/` and `2-generator/`, and writes into `quality/` beside the stages, so no manifest changes. What the numbers mean:
docs/concepts/image-quality.md; the file: docs/formats/quality.md.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hdgan.generator.crops import Crops
from hdgan.generator.protocol import to_uint8
from hdgan.generator.weights import FILE, TrainedGenerator, load_generator
from hdgan.generator.yardstick import Yardstick
from hdgan.measures.copies import CopyReport, CropSearch, Nearest, copies
from hdgan.measures.embedder import Embedder, scale_of
from hdgan.measures.resemblance import Resemblance, resemblance
from hdgan.measures.scattering import Scattering
from hdgan.pipeline.run import SETTINGS, open_run
from hdgan.plots.sheets import contact_sheet
from hdgan.progress import SILENT, Progress, track
from hdgan.randomness import stream
from hdgan.store.archive import TileArchive
from hdgan.store.atomic import write_json, write_png
from hdgan.store.layout import RunFolder
from hdgan.store.stage import MANIFEST, manifest_hash, read_manifest

FOLDER = "quality"
SCHEMA = 1
MAX_SEARCHED = 500
"""Samples that are compared with every training crop: the search takes most of the time."""
_REAL, _AGAIN, _HELD_OUT, _OTHERS = (k * 10**12 for k in (2, 3, 4, 5))
"""Numbers of the first crop of each set; no training gets there."""
_PIXELS_AT_ONCE = 1 << 20
_SHOWN = 8
_TURN_STEP = 15


@dataclass(frozen=True)
class Quality:
    """What was measured, and where it was written."""

    samples: Resemblance
    """Samples against training crops."""
    floor: Resemblance
    """Other training crops against the same: no generator can be expected to do better."""
    held_out: Resemblance | None
    """Crops of the held-out fold against training crops: how far apart real patients are."""
    samples_to_held_out: Resemblance | None
    copies: CopyReport | None
    """None where no tile can be left out: all overlap."""
    about: dict[str, Any]
    """Of what, with what."""
    path: Path


@dataclass(frozen=True)
class _Subject:
    """A run's generator and tiles, opened."""

    generator: TrainedGenerator
    tiles: TileArchive
    trained: list[int]
    held_out: list[int]
    config: dict[str, Any]
    """The generator's settings, as far as its manifest says."""
    seed: int

    @property
    def is_turned(self) -> bool:
        """Whether training crops are turned by any angle, where tiles have a margin."""
        return bool(self.config.get("is_turned", True))

    def crops(self, chosen: Sequence[int]) -> Crops:
        """Crops as the training takes them."""
        flips, quarters = self.config.get("flips", "none"), self.config.get("is_quarter_turned", False)
        size_px = self.generator.resolution
        return Crops(
            self.tiles, chosen=chosen, size_px=size_px, seed=self.seed, is_turned=self.is_turned, flips=flips, is_quarter_turned=quarters
        )


def measure_quality(
    root: Path, *, num: int, psi: float, seed: int = 0, embedder: Embedder | None = None, progress: Progress = SILENT
) -> Quality:
    """The quality of the generator of the run in `root`, by `num` samples at truncation `psi`, and as many real crops.

    The samples belong to `seed` and are none of those that the samples stage draws.

    Raises:
        BadInput: the tiles were not cut, or there are no weights.
        DamagedArtifact: the weights or a tile cannot be read.
    """
    subject, inputs = _open(RunFolder(root), seed=seed)
    size_px = subject.generator.resolution
    path = root / FOLDER / (f"psi-{psi:.2f}.json" if embedder is None else f"psi-{psi:.2f}.{_slug(embedder.name)}.json")
    embedder = embedder or Scattering(size_px)
    crops, draw = subject.crops(subject.trained), _drawing(subject.generator, psi=psi, seed=seed)

    def embedded(images: Callable[[int, int], np.ndarray], label: str) -> np.ndarray:
        return np.concatenate([embedder.embed(part) for part in _parts(images, num, size_px, label, progress)])

    real, again = (embedded(_numbered(crops, first), "embed real crops") for first in (_REAL, _AGAIN))
    samples, scale = embedded(draw, "draw and embed samples"), scale_of(embedder, real)
    held_out = embedded(_numbered(subject.crops(subject.held_out), _HELD_OUT), "embed held-out crops") if subject.held_out else None
    searched = _search(subject, draw, num=min(num, MAX_SEARCHED), progress=progress)
    quality = Quality(
        samples=resemblance(samples, real=real, scale=scale),
        floor=resemblance(again, real=real, scale=scale),
        held_out=None if held_out is None else resemblance(held_out, real=real, scale=scale),
        samples_to_held_out=None if held_out is None else resemblance(samples, real=held_out, scale=scale),
        copies=copies(searched[0].distance, searched[1].distance) if searched else None,
        about={
            "num": num,
            "psi": psi,
            "seed": seed,
            "inputs": inputs,
            "embedder": {"name": embedder.name, "hash": embedder.content_hash, "features": embedder.num_features},
            "tiles": {"trained": len(subject.trained), "held_out": len(subject.held_out)},
        },
        path=path,
    )
    write_json(quality.path, _to_json(quality, searched, subject))
    if searched:
        write_png(quality.path.with_suffix(".closest.png"), _closest_sheet(searched[0], draw, subject))
    return quality


def yardstick_of(root: Path, *, num: int) -> Callable[[TrainedGenerator], float]:
    """A measure of other snapshots of the run's generator: Frechet distance of `num` draws to as many real crops, smaller is better.

    Raises:
        BadInput: the tiles were not cut, or there are no weights.
    """
    subject, _ = _open(RunFolder(root), seed=0)
    yardstick = Yardstick(subject.crops(subject.trained), num=num)

    def distance(generator: TrainedGenerator) -> float:
        def draw(z: Tensor, _labels: Sequence[int] | None) -> Tensor:
            return generator.render(generator.map(z, psi=1.0))

        return yardstick.distance(draw, z_dim=generator.z_dim, device=generator.device)

    return distance


def _open(run: RunFolder, *, seed: int) -> tuple[_Subject, dict[str, str]]:
    """The run's generator and tiles, and what they are known by."""
    folder = run.folder("generator")
    tiles_hash = manifest_hash(run.folder("tiles"))
    has_settings = (run.root / SETTINGS).exists()
    tiles = open_run(run.root).open_tiles() if has_settings else TileArchive(run.folder("tiles"))
    generator = load_generator(folder / FILE)
    config = read_manifest(folder).config if (folder / MANIFEST).exists() else {}
    fold = config.get("held_out_fold")
    trained = [i for i, row in enumerate(tiles.rows) if row.fold != fold]
    held_out = [i for i, row in enumerate(tiles.rows) if row.fold == fold]
    subject = _Subject(generator, tiles, trained, held_out, config, seed)
    return subject, {"generator": generator.content_hash, "tiles": tiles_hash}


def _drawing(generator: TrainedGenerator, *, psi: float, seed: int) -> Callable[[int, int], np.ndarray]:
    """Samples by first number and count, `[n, R, R, 3]` uint8; sample i is a function of (seed, i)."""

    def draw(first: int, num: int) -> np.ndarray:
        z = np.stack([stream(seed, "quality.z", i).standard_normal(generator.z_dim, dtype=np.float32) for i in range(first, first + num)])
        return to_uint8(generator.render(generator.map(torch.from_numpy(z), psi=psi)))

    return draw


def _numbered(crops: Crops, start: int) -> Callable[[int, int], np.ndarray]:
    """Crops from number `start` on by first number and count, `[n, R, R, 3]` uint8."""
    return lambda first, num: crops.pictures(start + first, num)


def _parts(images: Callable[[int, int], np.ndarray], num: int, size_px: int, label: str, progress: Progress) -> Iterator[np.ndarray]:
    """`num` images, some at a time."""
    step = max(1, _PIXELS_AT_ONCE // size_px**2)
    firsts = range(0, num, step)
    return (images(i, min(step, num - i)) for i in track(firsts, total=len(firsts), label=label, progress=progress))


def _search(subject: _Subject, draw: Callable[[int, int], np.ndarray], *, num: int, progress: Progress) -> tuple[Nearest, Nearest] | None:
    """The nearest training crops of samples, and of real crops without the tiles that show the same place; tiles by their number in the archive.

    Real crops come from the training tiles themselves, so the donors are the same. None where every tile overlaps every other.
    """
    size_px, tiles, chosen = subject.generator.resolution, subject.tiles, subject.trained
    overlapping = [_overlapping(tiles, chosen, i) for i in chosen]
    usable = [k for k, others in enumerate(overlapping) if len(others) < len(chosen)]
    if not usable:
        return None
    edge = tiles.rows[chosen[0]].size_px
    step = _TURN_STEP if subject.is_turned and edge >= math.ceil(size_px * math.sqrt(2)) else 90
    search = CropSearch((tiles.read(i) for i in chosen), size_px=size_px, step_degrees=step)
    picks = stream(subject.seed, "quality.held_out").choice(usable, size=num)
    real = [search.prepared(subject.crops([chosen[k]]).crop(_OTHERS + i)[None]) for i, k in enumerate(picks)]
    drawn = [search.prepared(part) for part in _parts(draw, num, size_px, "draw samples to compare", progress)]
    left_out = [frozenset[int]()] * num + [overlapping[k] for k in picks]
    found = search.nearest(np.concatenate([*drawn, *real]), left_out=left_out, progress=progress)
    numbers = np.array(chosen)[found.tile]
    drawn_part, real_part = (Nearest(found.distance[p], numbers[p], found.xy_px[p]) for p in (slice(None, num), slice(num, None)))
    return drawn_part, real_part


def _overlapping(tiles: TileArchive, chosen: Sequence[int], number: int) -> frozenset[int]:
    """Places in `chosen` of the tiles that share tissue with tile `number`, itself among them."""
    row = tiles.rows[number]
    return frozenset(
        k
        for k, other in enumerate(tiles.rows[i] for i in chosen)
        if other.slide == row.slide and max(abs(other.x_px - row.x_px), abs(other.y_px - row.y_px)) < row.level0_px
    )


def _to_json(quality: Quality, searched: tuple[Nearest, Nearest] | None, subject: _Subject) -> dict[str, Any]:
    names = ("samples", "floor", "held_out", "samples_to_held_out")
    told = {name: found.to_json() for name in names if (found := getattr(quality, name)) is not None}
    data = {"schema": SCHEMA, **quality.about, **told}
    if searched and quality.copies:
        data["copies"] = asdict(quality.copies) | {"searched": len(searched[0].distance)}
        data["copies"]["held_out_median"] = float(np.median(searched[1].distance))
        data["copies"]["median"] = float(np.median(searched[0].distance))
        data["closest"] = [_neighbour(searched[0], i, subject) for i in _closest(searched[0])]
    return data


def _slug(name: str) -> str:
    """The name as part of a file's name."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-").lower()


def _closest(found: Nearest) -> list[int]:
    return [int(i) for i in np.argsort(found.distance, kind="stable")[:_SHOWN]]


def _neighbour(found: Nearest, sample: int, subject: _Subject) -> dict[str, Any]:
    x_px, y_px = (int(v) for v in found.xy_px[sample])
    tile = subject.tiles.rows[found.tile[sample]].name
    return {"sample": sample, "distance": float(found.distance[sample]), "tile": tile, "x_px": x_px, "y_px": y_px}


def _closest_sheet(found: Nearest, draw: Callable[[int, int], np.ndarray], subject: _Subject) -> np.ndarray:
    """The samples that are nearest to a training crop, each followed by that crop as it lies in its tile."""
    size_px, pictures = subject.generator.resolution, []
    for i in _closest(found):
        x, y = found.xy_px[i]
        pictures += [draw(i, 1)[0], subject.tiles.read(int(found.tile[i]))[y : y + size_px, x : x + size_px]]
    return contact_sheet(pictures, columns=4)
