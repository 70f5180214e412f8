"""The features of a run's annotated images: what was tapped, where it is kept, and how each image compared when it was drawn again.

`features.json` has the taps, the source, and for each image the pixels that it was annotated on, the verdict of the comparison and the
checksums of what is stored; `moments.npy` mean and variance of each channel. Format: docs/formats/features.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hdgan.errors import BadInput, DamagedArtifact
from hdgan.features import moments
from hdgan.features.colour import tapping_only
from hdgan.features.config import Source
from hdgan.features.redraw import draw_checked
from hdgan.features.sources import DiskMaps, MapSource, RecomputedMaps, refuse_missing
from hdgan.generator.protocol import LatentGenerator
from hdgan.generator.spec import TapSpec
from hdgan.generator.weights import FILE, load_generator
from hdgan.store.arrays import open_array, write_array
from hdgan.store.atomic import read_json, write_json
from hdgan.store.bank import SampleBank
from hdgan.training.memory import trim

INDEX = "features.json"
MOMENTS = "moments.npy"
SCHEMA = 2


@dataclass(frozen=True)
class ImageFacts:
    """What is known of one image."""

    image_hash: str
    """Of the pixels that its mask was drawn on."""
    recheck: Mapping[str, Any]
    """`outcome`, `share_changed` and `worst_level` of the comparison."""
    checksums: Sequence[int] = ()
    """CRC-32 of each block of 4 MiB of what is stored."""


@dataclass(frozen=True)
class Facts:
    """What is known of all features."""

    source: Source
    dtype: str
    taps: tuple[TapSpec, ...]
    resolution: int
    """Edge of the images, px."""
    mpp: float | None
    num_blocks: int
    generator_hash: str

    @property
    def um_per_coarsest_cell(self) -> float | None:
        """Edge of the tissue that one cell of the coarsest map covers, um; None without a scale."""
        return None if self.mpp is None else self.mpp * self.px_per_coarsest_cell

    @property
    def px_per_coarsest_cell(self) -> float:
        """The same in px of the image."""
        return self.resolution / min(tap.resolution for tap in self.taps)

    @property
    def num_channels(self) -> int:
        """Length of a pixel's feature vector."""
        return sum(tap.channels for tap in self.taps)


class FeatureBank:
    """Finished features, read-only, wherever they come from."""

    def __init__(self, folder: Path, *, generator: LatentGenerator | Path | None = None, samples: Path | None = None) -> None:
        """Opens a features stage; `generator` (itself, or its stage) and the stage `samples` are needed where features are recomputed.

        Raises:
            BadInput: it was not run, or by another version.
            DamagedArtifact: its index is not as we write it.
        """
        self.folder = folder
        self._generator, self._samples = generator, samples
        data = read_json(folder / INDEX)
        try:
            if data["schema"] != SCHEMA:
                remedy = "extract the features again with --redo"
                raise BadInput(folder / INDEX, f"has schema {data['schema']}, this version reads {SCHEMA}", remedy)
            self.images = {name: ImageFacts(**about) for name, about in data["images"].items()}
            taps = tuple(TapSpec(**tap) for tap in data["taps"])
            self.facts = Facts(**{name: data[name] for name in Facts.__annotations__ if name != "taps"}, taps=taps)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise DamagedArtifact(folder / INDEX, f"is no list of features ({error!r})", "extract them again with --redo") from error
        self.taps, self.resolution, self.mpp = self.facts.taps, self.facts.resolution, self.facts.mpp
        self.num_blocks, self.generator_hash, self.num_channels = self.facts.num_blocks, self.facts.generator_hash, self.facts.num_channels

    @property
    def names(self) -> tuple[str, ...]:
        """The images that have features."""
        return tuple(sorted(self.images))

    @property
    def is_recomputed(self) -> bool:
        """Whether asking for maps means drawing the image."""
        return self.facts.source == "recompute"

    def maps(self, name: str) -> Sequence[Tensor]:
        """Maps `[C, S, S]` whose channels, upsampled and concatenated, are the features of the image called `name`.

        Stored ones are views of the disk, each opened when it is asked for.

        Raises:
            BadInput: it has no features, or is no longer what its latent gives, or the generator gives other maps.
            DamagedArtifact: the file is missing, or has changed.
        """
        refuse_missing(self.folder, name, self.names)
        return self._source.maps(name)

    def standardiser(self, names: Sequence[str]) -> moments.Standardiser:
        """Mean and deviation of each channel over all pixels of the images called `names`, of the numbers found when they were extracted.

        Raises:
            BadInput: one has no features.
        """
        for name in names:
            refuse_missing(self.folder, name, self.names)
        return moments.pooled([self._moments[self.names.index(name)] for name in names])

    @cached_property
    def _moments(self) -> Tensor:
        path = self.folder / MOMENTS
        found = torch.from_numpy(np.array(open_array(path)))
        if found.shape != (len(self.images), self.num_channels, 2) or found.dtype != torch.float64:
            raise DamagedArtifact(path, f"has shape {tuple(found.shape)}", "extract the features again with --redo")
        return found

    @cached_property
    def _source(self) -> MapSource:
        if not self.is_recomputed:
            checksums = {name: about.checksums for name, about in self.images.items()}
            facts = self.facts
            return DiskMaps(self.folder, facts.source, facts.taps, resolution=facts.resolution, dtype=facts.dtype, checksums=checksums)
        if self._generator is None or self._samples is None:
            raise BadInput(self.folder, "holds no maps, they are recomputed", "open it with its generator and samples")
        network = load_generator(self._generator / FILE) if isinstance(self._generator, Path) else self._generator
        trim()
        tapped = tapping_only(network, self.taps, num_blocks=self.num_blocks, where=self.folder)
        return RecomputedMaps(self._redrawing(tapped, SampleBank(self._samples)))

    def _redrawing(self, network: LatentGenerator, samples: SampleBank) -> Callable[[str], tuple[Tensor, ...]]:
        def redraw(name: str) -> tuple[Tensor, ...]:
            annotated = self.images[name].image_hash
            return draw_checked(network, samples, name, annotated_hash=annotated, num_blocks=self.num_blocks, dtype=self.facts.dtype)[1]

        return redraw


def write_index(folder: Path, facts: Facts, images: Mapping[str, ImageFacts], *, found: Mapping[str, np.ndarray]) -> None:
    """Writes `features.json`, and `moments.npy` of the moments `[C, 2]` in `found`; the maps must be there."""
    rows = np.stack([found[name] for name in sorted(images)])
    write_array(folder / MOMENTS, rows.shape, rows.dtype, [rows])
    data: dict[str, Any] = {
        "schema": SCHEMA,
        **asdict(facts),
        "images": {name: asdict(about) for name, about in images.items()},
        "um_per_coarsest_cell": facts.um_per_coarsest_cell,
    }
    assert math.isfinite(data["um_per_coarsest_cell"] or 0)
    write_json(folder / INDEX, data)
