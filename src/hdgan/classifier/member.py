"""A member while it is trained: weights, optimiser, curve and the best epoch so far, as a file that training goes on from exactly.

Random draws are no state: each epoch's are a function of (seed, member, epoch).
"""

from __future__ import annotations

import copy
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from hdgan.classifier.config import ClassifierConfig
from hdgan.classifier.mlp import PixelMlp
from hdgan.training import checkpoint, seeds
from hdgan.training.dropout import Dropout

Keep = Literal["macro-dice", "loss", "last"]


@dataclass(frozen=True)
class Epoch:
    """What one epoch came to; `macro_dice` and `validation_loss` (nats, probabilities as they are) are of the validation pixels, nan without any."""

    member: int
    epoch: int
    loss: float
    macro_dice: float
    validation_loss: float = math.nan

    def to_json(self) -> dict[str, Any]:
        """As plain data; nan as null."""
        return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Epoch:
        """From plain data."""
        numbers: dict[str, Any] = {name: math.nan if value is None else value for name, value in data.items()}
        return cls(**numbers)


@dataclass
class Stall:
    """How long no batch has had a new lowest loss."""

    lowest: float = math.inf
    num_batches: int = 0

    def note(self, loss: float) -> None:
        """Counts one batch."""
        self.num_batches = 0 if loss < self.lowest else self.num_batches + 1
        self.lowest = min(self.lowest, loss)


@dataclass
class Member:
    """One classifier in training."""

    model: PixelMlp
    best: PixelMlp
    """A copy at its best epoch, in evaluation mode."""
    optimiser: torch.optim.Optimizer
    input_dropout: Dropout
    curve: list[Epoch] = field(default_factory=list)
    stall: Stall = field(default_factory=Stall)
    is_stalled: bool = False
    """The training loss has told it to end."""

    def note(self, epoch: Epoch, *, keep: Keep) -> None:
        """Adds an epoch to the curve and keeps the weights if none was better; without validation the last is kept."""
        before = self.best_epoch(keep)
        self.curve.append(epoch)
        if before is None or self.best_epoch(keep) == len(self.curve) - 1:
            self.best = copy.deepcopy(self.model).eval()

    def best_epoch(self, keep: Keep) -> int | None:
        """Place in the curve of the epoch whose weights are kept, the first of equals; None before the first."""
        if not self.curve or keep == "last" or math.isnan(self.curve[-1].macro_dice):
            return len(self.curve) - 1 if self.curve else None
        merits = [row.macro_dice if keep == "macro-dice" else -row.validation_loss for row in self.curve]
        return merits.index(max(merits))

    def is_done(self, config: ClassifierConfig) -> bool:
        """Whether another epoch is of no use: all were done, or early stopping says so."""
        best = self.best_epoch(config.keep)
        is_late = config.patience is not None and best is not None and len(self.curve) - 1 - best >= config.patience
        return len(self.curve) >= config.epochs or self.is_stalled or is_late


def new_member(config: ClassifierConfig, *, num_in: int, num_classes: int, seed: int, number: int) -> Member:
    """A member before its first epoch, its weights drawn from the seed and its number."""
    seeds.reseed(seed, f"classifier.member.{number}")
    model = new_model(config, num_in=num_in, num_classes=num_classes)
    if config.init_std is not None:
        for linear in model.linears.parameters():
            nn.init.normal_(linear, std=config.init_std) if linear.dim() == 2 else nn.init.zeros_(linear)
    return Member(model, copy.deepcopy(model).eval(), _optimiser(model, config), Dropout(config.input_dropout))


def new_model(config: ClassifierConfig, *, num_in: int, num_classes: int) -> PixelMlp:
    """A network of the shape that is asked for, its weights drawn from torch's global random state."""
    return PixelMlp(num_in, num_classes, hidden=config.hidden, dropout=config.dropouts, norm=config.norm, order=config.order)


def save_member(path: Path, member: Member) -> None:
    """Writes all that the next epoch needs."""
    tensors = {f"model.{name}": value for name, value in member.model.state_dict().items()}
    tensors |= {f"best.{name}": value for name, value in member.best.state_dict().items()}
    for index, held in member.optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{name}": value for name, value in held.items() if isinstance(value, Tensor)}
    lowest = None if math.isinf(member.stall.lowest) else member.stall.lowest
    stall = {"lowest": lowest, "num_batches": member.stall.num_batches, "is_stalled": member.is_stalled}
    checkpoint.write_tensors(path, tensors, {"curve": [row.to_json() for row in member.curve], "stall": stall})


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
    stall = facts["stall"]
    member.stall = Stall(math.inf if stall["lowest"] is None else stall["lowest"], stall["num_batches"])
    member.is_stalled = stall["is_stalled"]
    return True


def _load(model: nn.Module, tensors: dict[str, Tensor], prefix: str) -> None:
    model.load_state_dict({name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)})


def _optimiser(model: PixelMlp, config: ClassifierConfig) -> torch.optim.Optimizer:
    if config.optimiser == "sgd":
        return torch.optim.SGD(model.parameters(), lr=config.lr, momentum=config.momentum, weight_decay=config.weight_decay)
    return torch.optim.AdamW(model.parameters(), lr=config.lr, weight_decay=config.weight_decay, fused=True)
