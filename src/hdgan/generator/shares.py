"""Who does which images of a batch: passes of gradient accumulation, and the shares of several processes in each.

Images of one group of the minibatch standard deviation must meet in one process. Letters: B images of the batch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hdgan.generator.networks import std_members
from hdgan.generator.settings import TrainSettings
from hdgan.generator.spec import NetworkSpec
from hdgan.training.distributed import Group


@dataclass(frozen=True)
class Pass:
    """One pass: the images `first` to `first + total - 1` of the batch, of which those at `mine` are this process's."""

    number: int
    first: int
    total: int
    mine: slice | Tensor
    num_here: int
    weight: float
    """The pass's share of the batch."""

    @property
    def here(self) -> slice:
        """Where its images stand among all of this process's."""
        return slice(self.number * self.num_here, (self.number + 1) * self.num_here)

    def of(self, whole: Tensor | None) -> Tensor | None:
        """The rows of this process's images in what is given for the whole batch, `[B, ...]`."""
        return None if whole is None else whole[self.first : self.first + self.total][self.mine]


def passes(settings: TrainSettings, spec: NetworkSpec, group: Group) -> tuple[Pass, ...]:
    """The passes of a batch.

    Raises:
        BadConfig: the processes cannot share them equally.
    """
    total = settings.microbatch or settings.batch
    mine: slice | Tensor
    if settings.spans_passes(group=spec.minibatch_std_group):
        # Image n of the batch is in group n mod the number of groups, so every world-th image makes whole groups.
        mine = group.every(total, num_groups=settings.batch // _members(settings.batch, spec))
    else:
        mine = group.share_of(total, members=_members(total, spec))
    num_here, weight = total // group.world, total / settings.batch
    return tuple(Pass(i, i * total, total, mine, num_here, weight) for i in range(settings.batch // total))


def path_passes(settings: TrainSettings, spec: NetworkSpec, group: Group) -> tuple[Pass, ...]:
    """The passes of the path-length penalty: half of the batch's images, as published.

    Half of each pass; where passes are smaller than a group of statistics, so that half an image would be left, every second one.

    Raises:
        BadConfig: the processes cannot share them equally.
    """
    parts = passes(settings, spec, group)
    if settings.spans_passes(group=spec.minibatch_std_group):
        chosen = parts[::2]
        return tuple(replace(part, weight=1 / len(chosen)) for part in chosen)
    half = max(parts[0].total // 2, 1)
    return tuple(replace(part, total=half, mine=group.share_of(half), num_here=half // group.world) for part in parts)


def places(settings: TrainSettings, spec: NetworkSpec, group: Group) -> range | list[int]:
    """Which images of a batch are this process's, pass by pass, as places in the batch.

    Raises:
        BadConfig: the processes cannot share a pass equally.
    """
    if group.world == 1:
        return range(settings.batch)
    if settings.path_weight:
        path_passes(settings, spec, group)  # what cannot be shared is refused before the first step
    return [part.first + int(place) for part in passes(settings, spec, group) for place in torch.arange(part.total)[part.mine]]


def _members(num: int, spec: NetworkSpec) -> int:
    """Images in each group of the minibatch deviation of `num` images."""
    return std_members(num, spec.minibatch_std_group) if spec.minibatch_std_group else 1
