"""A member while it is trained: weights, optimiser, curve and the best epoch so far, as a file that training goes on from exactly.

Random draws are no state: each epoch's are a function of (seed, member, epoch).
"""

from __future__ import annotations

import copy
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hdgan.classifier.config import ClassifierConfig
from hdgan.classifier.mlp import PixelMlp
from hdgan.training import checkpoint, seeds


@dataclass(frozen=True)
class Epoch:
    """What one epoch came to; `macro_dice` is that of the validation pixels, nan without any."""

    member: int
    epoch: int
    loss: float
    macro_dice: float

    def to_json(self) -> dict[str, Any]:
        """As plain data; nan as null."""
        return asdict(self) | {"macro_dice": None if math.isnan(self.macro_dice) else self.macro_dice}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Epoch:
        """From plain data."""
        return cls(**{**data, "macro_dice": math.nan if data["macro_dice"] is None else data["macro_dice"]})


@dataclass
class Member:
    """One classifier in training."""

    model: PixelMlp
    best: PixelMlp
    """A copy at its best epoch, in evaluation mode."""
    optimiser: torch.optim.Optimizer
    curve: list[Epoch] = field(default_factory=list)

    def note(self, epoch: Epoch) -> None:
        """Adds an epoch to the curve and keeps the weights if none was better; without validation the last is kept."""
        before = max((row.macro_dice for row in self.curve), default=-1.0)
        self.curve.append(epoch)
        if math.isnan(epoch.macro_dice) or epoch.macro_dice > before:
            self.best = copy.deepcopy(self.model).eval()


def new_member(config: ClassifierConfig, *, num_in: int, num_classes: int, seed: int, number: int) -> Member:
    """A member before its first epoch, its weights drawn from the seed and its number."""
    seeds.reseed(seed, f"classifier.member.{number}")
    model = PixelMlp(num_in, num_classes, hidden=config.hidden, dropout=config.dropout)
    return Member(model, copy.deepcopy(model).eval(), _optimiser(model, config))


def save_member(path: Path, member: Member) -> None:
    """Writes all that the next epoch needs."""
    tensors = {f"model.{name}": value for name, value in member.model.state_dict().items()}
    tensors |= {f"best.{name}": value for name, value in member.best.state_dict().items()}
    for index, held in member.optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{name}": value for name, value in held.items() if isinstance(value, Tensor)}
    checkpoint.write_tensors(path, tensors, {"curve": [row.to_json() for row in member.curve]})


def load_member(path: Path, member: Member) -> bool:
    """Brings a new member to where the file was written; false, and nothing changed, when there is none or it is damaged."""
    try:
        tensors, facts = checkpoint.read_tensors(path)
    except ValueError:
        return False
    _load(member.model, tensors, "model.")
    _load(member.best, tensors, "best.")
    held: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("optimiser."):
            _, index, name = key.split(".")
            held.setdefault(int(index), {})[name] = value
    member.optimiser.load_state_dict({"state": held, "param_groups": member.optimiser.state_dict()["param_groups"]})
    member.curve = [Epoch.from_json(row) for row in facts["curve"]]
    return True


def _load(model: nn.Module, tensors: dict[str, Tensor], prefix: str) -> None:
    model.load_state_dict({name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)})


def _optimiser(model: PixelMlp, config: ClassifierConfig) -> torch.optim.Optimizer:
    if config.optimiser == "sgd":
        return torch.optim.SGD(model.parameters(), lr=config.lr, momentum=config.momentum, weight_decay=config.weight_decay)
    return torch.optim.AdamW(model.parameters(), lr=config.lr, weight_decay=config.weight_decay, fused=True)
