"""Three places that features come from, behind one small protocol; each gives the classifier the same pixels, bit for bit in float32.

`native` maps on the disk as the network had them, `recompute`d from the latent with nothing stored, or `upsampled` to image size and
concatenated on the disk as in the paper (arXiv 2207.02712, section 2.3): the reference. Letters: C channels, S a map's edge, R the image's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol, overload

import numpy as np
import torch
from torch import Tensor

from hdgan.errors import BadInput, DamagedArtifact
from hdgan.features.config import Source
from hdgan.features.upsample import neighbours
from hdgan.generator.spec import TapSpec
from hdgan.store.arrays import check_array, open_array, write_array

FOLDERS: Mapping[Source, str] = {"native": "maps", "upsampled": "upsampled"}
"""Where a source that stores anything does so, in the stage's folder."""
_CHUNK_VALUES = 1_000_000


class MapSource(Protocol):
    """Features of annotated images, by name."""

    def maps(self, name: str) -> Sequence[Tensor]:
        """Maps `[C, S, S]` whose channels, upsampled and concatenated, are the features of the image called `name`.

        Raises:
            BadInput: it has none, or they no longer belong to it.
            DamagedArtifact: what is stored of it is missing or has changed.
        """


class StoredMaps(Sequence[Tensor]):
    """Maps in one file, each opened when it is asked for: a loop over them holds one at a time, and writing to one stays in memory."""

    def __init__(self, path: Path, shapes: Sequence[tuple[int, int, int]]) -> None:
        self._path = path
        self._shapes = shapes
        self._starts = np.cumsum([0, *(c * h * w for c, h, w in shapes)]).tolist()

    def __len__(self) -> int:
        """How many maps there are."""
        return len(self._shapes)

    @overload
    def __getitem__(self, index: int) -> Tensor: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Tensor]: ...
    def __getitem__(self, index: int | slice) -> Tensor | Sequence[Tensor]:
        """One map, or a list of some."""
        if isinstance(index, slice):
            return [self[i] for i in range(len(self))[index]]
        place = range(len(self))[index]
        flat = open_array(self._path, is_private=True).reshape(-1)
        return torch.from_numpy(flat[self._starts[place] : self._starts[place + 1]]).view(self._shapes[place])


class DiskMaps:
    """Implements `MapSource` with one array on the disk for each image, checked block by block when it is first opened."""

    def __init__(
        self,
        folder: Path,
        source: Source,
        taps: Sequence[TapSpec],
        *,
        resolution: int,
        dtype: str,
        checksums: Mapping[str, Sequence[int]],
    ) -> None:
        self._folder = folder / FOLDERS[source]
        self._dtype, self._checksums = np.dtype(dtype), checksums
        edges = [resolution if source == "upsampled" else tap.resolution for tap in taps]
        self._shapes = [(tap.channels, edge, edge) for tap, edge in zip(taps, edges, strict=True)]
        values = sum(c * h * w for c, h, w in self._shapes)
        self._shape = (values,) if source == "native" else (values // resolution**2, resolution, resolution)
        self._checked: set[str] = set()

    def maps(self, name: str) -> Sequence[Tensor]:
        """The maps, memory-mapped."""
        path = self._folder / f"{name}.npy"
        if name not in self._checked:
            array = open_array(path)
            # The checksums are of the numbers alone: a changed header would have them read as others.
            if array.shape != self._shape or array.dtype != self._dtype or not array.flags.c_contiguous:
                what = f"says {array.dtype} of shape {array.shape}, and not {self._dtype} of {self._shape} row by row"
                raise DamagedArtifact(path, what, "extract the features again with --redo")
            check_array(path, self._checksums[name])
            self._checked.add(name)
        return StoredMaps(path, self._shapes)


class RecomputedMaps:
    """Implements `MapSource` by drawing the image again, and comparing it, each time that its maps are asked for."""

    def __init__(self, redraw: Callable[[str], tuple[Tensor, ...]]) -> None:
        self._redraw = redraw

    def maps(self, name: str) -> Sequence[Tensor]:
        """The maps, in memory."""
        return self._redraw(name)


def write_maps(folder: Path, name: str, maps: Sequence[Tensor], *, source: Source, size: int) -> tuple[int, ...]:
    """Stores the maps `[C, S, S]` of the image called `name` of `size` px; the checksums of the blocks, none where nothing is stored.

    Raises:
        OutOfSpace: the disk is full; nothing is left behind.
    """
    if source not in FOLDERS:
        return ()
    path, dtype = folder / FOLDERS[source] / f"{name}.npy", str(maps[0].dtype).removeprefix("torch.")
    if source == "native":
        return write_array(path, (sum(m.numel() for m in maps),), dtype, (m.numpy() for m in maps))
    shape = (sum(len(m) for m in maps), size, size)
    return write_array(path, shape, dtype, (part.to(maps[0].dtype).numpy() for m in maps for part in upsampled(m, size=size)))


def upsampled(m: Tensor, *, size: int) -> Iterator[Tensor]:
    """The map `[C, S, S]` at `size` px, float32, some channels at a time: bit for bit what `gather` gives, which interpolates in this order."""
    first, second, weight = neighbours(torch.arange(size), size=size, edge=m.shape[-1])
    for part in torch.split(m, max(1, _CHUNK_VALUES // size**2)):
        f = part.float()
        across = torch.lerp(f[:, :, first], f[:, :, second], weight)
        yield torch.lerp(across[:, first], across[:, second], weight.unsqueeze(1))


def refuse_missing(folder: Path, name: str, names: Sequence[str]) -> None:
    """Nothing, where the image called `name` is one of those that have features.

    Raises:
        BadInput: it is not.
    """
    if name not in names:
        raise BadInput(folder, f"no features of {name!r}", "it was not annotated when features were extracted; use --redo")
