"""What a generator can be asked for: the stains, the centres or the patients of the tiles that it learnt from, as labels.

A label is a vector with a single 1. Where nobody asks for one, a latent z has its own: a function of z's bytes, in the
shares of the training tiles, so that whoever draws z again draws the same label. A latent w needs none, it holds
the label's effect. Letters: N images, L labels.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from hdgan.errors import BadConfig
from hdgan.store.archive import TileRow


@dataclass(frozen=True)
class Conditions:
    """Labels in the order of the network's label vector."""

    by: str
    """Column of the tile index that they are values of."""
    names: tuple[str, ...]
    counts: tuple[int, ...]
    """Training tiles of each."""

    def number(self, name: str) -> int:
        """The place of the label called `name`.

        Raises:
            BadConfig: there is none.
        """
        if name not in self.names:
            raise BadConfig("condition", f"the generator knows no {self.by} {name!r}", f"use one of {', '.join(self.names)}")
        return self.names.index(name)

    def of_latents(self, z: Tensor) -> list[int]:
        """The label of each z `[N, z_dim]`, in the shares of the training tiles."""
        limits = np.cumsum(self.counts) / sum(self.counts)
        rows = z.detach().float().cpu().numpy().astype("<f4")
        hashes = [hashlib.sha256(b"condition\0" + row.tobytes()).digest()[:8] for row in rows]
        shares = [int.from_bytes(content, "little") / 2**64 for content in hashes]
        return [min(int(np.searchsorted(limits, share, side="right")), len(limits) - 1) for share in shares]

    def to_json(self) -> dict[str, Any]:
        """Plain data, as stored with the weights."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Conditions:
        """What `to_json` gave."""
        return cls(by=data["by"], names=tuple(data["names"]), counts=tuple(data["counts"]))

    @classmethod
    def unnamed(cls, num: int) -> Conditions:
        """Labels of weights that do not say what theirs mean: numbers, in equal shares."""
        return cls(by="label", names=tuple(str(i) for i in range(num)), counts=(1,) * num)


def of_tiles(rows: Sequence[TileRow], *, by: str, chosen: Sequence[int]) -> tuple[Conditions, list[int]]:
    """The labels found in column `by` ("stain", "centre" or "patient") of the rows numbered `chosen`, and the label of every row (-1: not chosen).

    Raises:
        BadConfig: a chosen tile states none, or all state the same.
    """
    counts = Counter(getattr(rows[i], by) for i in chosen)
    if "" in counts:
        raise BadConfig("generator.condition", f"{counts['']} tiles state no {by}", f"fill the column {by} of the slide table")
    names = tuple(sorted(counts))
    if len(names) < 2:
        raise BadConfig("generator.condition", f"all tiles have the {by} {', '.join(names)!r}", "leave generator.condition out")
    labels = [-1] * len(rows)
    for i in chosen:
        labels[i] = names.index(getattr(rows[i], by))
    return Conditions(by, names, tuple(counts[name] for name in names)), labels


def one_hot(labels: Sequence[int] | np.ndarray, num: int) -> Tensor:
    """`[N, num]` float32: a 1 at the place of each label."""
    return F.one_hot(torch.as_tensor(np.asarray(labels, dtype=np.int64)), num).float()
