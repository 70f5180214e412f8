"""Everything a generator's training must remember, as tensors and plain facts, so that resuming is exact.

Both networks, the average, both Adam states, the path-length mean, the augmentation's chance and the logit signs since
its last adjustment, images and steps so far. Random draws are not state: they are functions of the counters.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from hdgan.generator.calls import Calls, compiled_calls, plain_calls
from hdgan.generator.conditions import Conditions
from hdgan.generator.networks import Discriminator, Generator
from hdgan.generator.settings import TrainSettings
from hdgan.generator.spec import NetworkSpec
from hdgan.training import seeds
from hdgan.training.distributed import ALONE, Group

_COUNTERS = ("ada_p", "num_images", "num_steps", "sign_sum", "sign_count")


@dataclass
class TrainingState:
    """Networks, optimisers and counters of one run."""

    G: Generator
    D: Discriminator
    G_average: Generator
    G_optimiser: torch.optim.Adam
    D_optimiser: torch.optim.Adam
    calls: Calls
    """How G and D are called in a step."""
    path_mean: Tensor
    ada_p: float
    num_images: int = 0
    num_steps: int = 0
    sign_sum: float = 0.0
    """Sum of the logits' signs on real images since the last adjustment of `ada_p`."""
    sign_count: int = 0
    report: dict[str, float] = field(default_factory=dict)
    """The losses as last measured: penalties are not measured in every step, and the statistics tell what was measured last."""
    group: Group = ALONE
    """The processes that train it together; not part of what is resumed."""
    conditions: Conditions | None = None
    """What the networks' labels mean, where they take any; written with the state, given by the tiles when it is resumed."""


def new_state(spec: NetworkSpec, settings: TrainSettings, *, device: str | torch.device = "cpu") -> TrainingState:
    """A state before the first step, its weights drawn from `settings.seed`.

    Raises:
        BadConfig: the networks are to be compiled and cannot be on this machine.
    """
    seeds.reseed(settings.seed, "generator.weights")
    G, D = Generator(spec), Discriminator(spec)
    channels_last = torch.channels_last
    G.to(device).to(memory_format=channels_last)  # type: ignore[call-overload]
    D.to(device).to(memory_format=channels_last)  # type: ignore[call-overload]
    G.synthesis.recompute_from_px = D.recompute_from_px = settings.recompute_from_px
    G_average = copy.deepcopy(G).requires_grad_(False).eval()
    return TrainingState(
        G=G,
        D=D,
        G_average=G_average,
        G_optimiser=_adam(G, settings, interval=settings.path_interval if settings.path_weight else 0),
        D_optimiser=_adam(D, settings, interval=settings.r1_interval if settings.gamma else 0),
        calls=(compiled_calls if settings.is_compiled else plain_calls)(G, D),
        path_mean=torch.zeros([], device=device),
        ada_p=settings.ada_p,
    )


def _adam(network: nn.Module, settings: TrainSettings, *, interval: int) -> torch.optim.Adam:
    """Adam with the step and decay that make a penalty of every `interval`-th step count as one of every step."""
    ratio = interval / (interval + 1) if interval else 1.0
    return torch.optim.Adam(network.parameters(), lr=settings.lr * ratio, betas=(0.0, 0.99**ratio), eps=1e-8, fused=True)


def to_tensors(state: TrainingState) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The state as named tensors and plain facts."""
    tensors: dict[str, Tensor] = {"path_mean": state.path_mean}
    for prefix, network in (("G", state.G), ("D", state.D), ("G_average", state.G_average)):
        tensors.update({f"{prefix}.{name}": value for name, value in network.state_dict().items()})
    for prefix, network, optimiser in (("G", state.G, state.G_optimiser), ("D", state.D, state.D_optimiser)):
        for name, parameter in network.named_parameters():
            moments = optimiser.state.get(parameter, {})
            # beta1 is 0: the first moment is the last gradient, which the next step overwrites.
            if moments:
                tensors[f"adam.{prefix}.{name}.second"] = moments["exp_avg_sq"]
                tensors[f"adam.{prefix}.{name}.steps"] = moments["step"]
    return tensors, {name: getattr(state, name) for name in _COUNTERS} | {"report": dict(state.report)}


def misfit(state: TrainingState, tensors: dict[str, Tensor], facts: dict[str, Any]) -> str | None:
    """Why tensors and facts cannot be put into `state`, in words; None: they can."""
    expected = {
        f"{prefix}.{name}": value.shape
        for prefix, network in (("G", state.G), ("D", state.D), ("G_average", state.G_average))
        for name, value in network.state_dict().items()
    }
    if {name: value.shape for name, value in tensors.items() if name.startswith(("G.", "D.", "G_average."))} != expected:
        return "it is of other networks"
    return None if "path_mean" in tensors and facts.keys() >= set(_COUNTERS) else "it is none that a training wrote"


def from_tensors(state: TrainingState, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
    """Puts what `to_tensors` gave into `state`.

    Raises:
        KeyError, RuntimeError: a tensor is missing or of another shape.
    """
    for prefix, network in (("G", state.G), ("D", state.D), ("G_average", state.G_average)):
        start = f"{prefix}."
        network.load_state_dict({name[len(start) :]: value for name, value in tensors.items() if name.startswith(start)})
    for prefix, network, optimiser in (("G", state.G, state.G_optimiser), ("D", state.D, state.D_optimiser)):
        for name, parameter in network.named_parameters():
            key = f"adam.{prefix}.{name}"
            if f"{key}.second" not in tensors:
                continue
            second = torch.empty_like(parameter).copy_(tensors[f"{key}.second"])
            optimiser.state[parameter] = {
                "step": tensors[f"{key}.steps"].clone().to(parameter.device),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": second,
            }
    state.path_mean = tensors["path_mean"].to(state.path_mean.device)
    state.ada_p, state.sign_sum = float(facts["ada_p"]), float(facts["sign_sum"])
    state.num_images, state.num_steps, state.sign_count = (int(facts[name]) for name in ("num_images", "num_steps", "sign_count"))
    state.report = dict(facts.get("report", {}))  # earlier versions wrote none
