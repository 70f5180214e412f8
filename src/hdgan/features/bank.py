"""Tapped maps of the annotated images on disk, at native resolution: one memory-mapped array for each image.

`maps/<name>.npy` holds all maps of an image, one after the other in the order of the taps, each `[C, S, S]` in C order.
`features.json` has the taps, and for each image the file's hash and how the re-rendered image compared. Format: docs/formats/features.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hdgan.errors import BadInput, DamagedArtifact
from hdgan.generator.protocol import TapSpec
from hdgan.store.arrays import create_array, finish_array, open_array
from hdgan.store.atomic import read_json, write_json
from hdgan.store.hashing import hash_file

INDEX = "features.json"
MAPS = "maps"
SCHEMA = 1


class FeatureBank:
    """A finished bank, read-only."""

    def __init__(self, folder: Path) -> None:
        """Opens a features stage.

        Raises:
            BadInput: it was not run, or by another version.
            DamagedArtifact: its index is not as we write it.
        """
        self.folder = folder
        data = read_json(folder / INDEX)
        try:
            if data["schema"] != SCHEMA:
                raise BadInput(folder / INDEX, f"has schema {data['schema']}, this version reads {SCHEMA}")
            self.taps = tuple(TapSpec(**tap) for tap in data["taps"])
            self.hashes: dict[str, str] = dict(data["images"])
            self.resolution = int(data["resolution"])
            self.mpp: float | None = data["mpp"]
            self.num_blocks = int(data["num_blocks"])
            self.generator_hash = str(data["generator_hash"])
        except (KeyError, TypeError, ValueError) as error:
            raise DamagedArtifact(folder / INDEX, f"is no list of features ({error!r})", "extract them again with --redo") from error

    @property
    def names(self) -> tuple[str, ...]:
        """The images that have features."""
        return tuple(sorted(self.hashes))

    @property
    def num_channels(self) -> int:
        """Length of a pixel's feature vector."""
        return sum(tap.channels for tap in self.taps)

    def maps(self, name: str) -> tuple[Tensor, ...]:
        """The maps `[C, S, S]` of the image called `name`, views of the memory-mapped file.

        Raises:
            BadInput: it has no features.
            DamagedArtifact: the file is missing, or of another length than the taps ask for.
        """
        if name not in self.hashes:
            raise BadInput(self.folder, f"no features of {name!r}", "it was not annotated when features were extracted; use --redo")
        flat = open_array(self.folder / MAPS / f"{name}.npy", is_private=True)
        if flat.shape != (num_values(self.taps),):
            raise DamagedArtifact(self.folder / MAPS / f"{name}.npy", f"has shape {flat.shape}", "extract the features again with --redo")
        parts = torch.split(torch.from_numpy(flat), [tap.channels * tap.resolution**2 for tap in self.taps])
        return tuple(part.view(tap.channels, tap.resolution, tap.resolution) for part, tap in zip(parts, self.taps, strict=True))


def num_values(taps: Sequence[TapSpec]) -> int:
    """Numbers stored for one image."""
    return sum(tap.channels * tap.resolution**2 for tap in taps)


def write_maps(folder: Path, name: str, maps: Sequence[Tensor], *, dtype: str) -> str:
    """Writes the maps `[C, S, S]` of one image; the file's hash.

    Raises:
        OutOfSpace: the disk is full; nothing is left behind.
        BadInput: a value is not finite, or does not fit into `dtype`.
    """
    path = folder / MAPS / f"{name}.npy"
    rounded = [m.detach().cpu().reshape(-1).to(getattr(torch, dtype)) for m in maps]
    if not all(bool(torch.isfinite(m).all()) for m in rounded):
        raise BadInput(path, f"features are not finite in {dtype}", "use float32, or check the generator")
    array = create_array(path, (sum(len(m) for m in rounded),), dtype)
    start = 0
    for m in rounded:
        array[start : start + len(m)] = m.numpy()
        start += len(m)
    finish_array(array)
    return hash_file(path)


def write_index(
    folder: Path,
    *,
    taps: Sequence[TapSpec],
    hashes: dict[str, str],
    verdicts: dict[str, dict[str, Any]],
    resolution: int,
    mpp: float | None,
    num_blocks: int,
    generator_hash: str,
) -> None:
    """Writes `features.json`; the maps must be there. `um_per_coarsest_cell` says how much tissue one cell of the coarsest map covers."""
    data: dict[str, Any] = {
        "schema": SCHEMA,
        "taps": [asdict(tap) for tap in taps],
        "images": hashes,
        "recheck": verdicts,
        "resolution": resolution,
        "mpp": mpp,
        "num_blocks": num_blocks,
        "generator_hash": generator_hash,
        "um_per_coarsest_cell": None if mpp is None else mpp * resolution / min(tap.resolution for tap in taps),
    }
    assert math.isfinite(data["um_per_coarsest_cell"] or 0)
    write_json(folder / INDEX, data)
