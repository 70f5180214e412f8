"""The bank of samples: generated images, their latents, and hashes that tie the two together.

`images/000000.png` ..., `z.npy` float32 `[N, z_dim]`, `w.npy` float32 `[N, w_dim]` (after truncation), `samples.json`.
The PNG is the truth and the latent a recipe: whoever uses the pair renders again and compares. Format: docs/formats/samples.md.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hdgan.errors import BadInput, DamagedArtifact
from hdgan.store.arrays import open_array
from hdgan.store.atomic import read_image, read_json, write_bytes, write_json

INDEX = "samples.json"
IMAGES = "images"
SCHEMA = 1


@dataclass(frozen=True)
class SampleRow:
    """One generated image."""

    index: int
    name: str
    """Stem of its file, "000000"."""
    seed: int
    image_hash: str
    """Of the pixels, uint8 `[H, W, 3]`."""
    latent_hash: str
    """Of w, float32 `[w_dim]`."""
    generator_hash: str
    psi: float
    condition: str | None = None
    """The label that z was mapped with, where the generator takes one."""

    def to_json(self) -> dict[str, Any]:
        """Plain data; without `condition` where there is none."""
        return {name: value for name, value in asdict(self).items() if name != "condition" or value is not None}


def sample_name(index: int) -> str:
    """The file stem of sample number `index`."""
    return f"{index:06d}"


class SampleBank:
    """A finished bank, read-only."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        data = read_json(folder / INDEX)
        try:
            if data["schema"] != SCHEMA:
                raise BadInput(folder / INDEX, f"has schema {data['schema']}, this version reads {SCHEMA}")
            self.rows = tuple(SampleRow(**row) for row in data["samples"])
            self.mpp: float | None = data["mpp"]
            self.resolution = int(data["resolution"])
        except (KeyError, TypeError, ValueError) as error:
            raise DamagedArtifact(folder / INDEX, f"is no list of samples ({error!r})", "draw the samples again with --redo") from error
        self._by_name = {row.name: row for row in self.rows}
        self._w = open_array(folder / "w.npy")

    def __len__(self) -> int:
        """The number of samples."""
        return len(self.rows)

    def row(self, index: int) -> SampleRow:
        """What is known of sample number `index`."""
        return self.rows[index]

    def by_name(self, name: str) -> SampleRow:
        """The sample whose file stem is `name`.

        Raises:
            BadInput: there is none.
        """
        if name not in self._by_name:
            raise BadInput(self.folder, f"no sample called {name!r}", f"they are {self.rows[0].name} to {self.rows[-1].name}")
        return self._by_name[name]

    def image(self, index: int) -> np.ndarray:
        """Pixels `[H, W, 3]` uint8."""
        return read_image(self.folder / IMAGES / f"{self.rows[index].name}.png")

    def latent(self, index: int) -> np.ndarray:
        """w `[w_dim]` float32."""
        return np.array(self._w[index], dtype=np.float32)


def write_index(folder: Path, rows: Sequence[SampleRow], *, mpp: float | None, resolution: int) -> None:
    """Writes `samples.json`; latents and images must be there."""
    data: dict[str, Any] = {"schema": SCHEMA, "mpp": mpp, "resolution": resolution, "samples": [row.to_json() for row in rows]}
    write_json(folder / INDEX, data)


def write_latents(folder: Path, *, z: np.ndarray, w: np.ndarray) -> None:
    """Writes z `[N, z_dim]` and w `[N, w_dim]` as float32."""
    for name, array in (("z.npy", z), ("w.npy", w)):
        buffer = io.BytesIO()  # np.save into a file reports a full disk without its error number
        np.save(buffer, array.astype(np.float32), allow_pickle=False)
        write_bytes(folder / name, buffer.getvalue())
