"""A training step and a drawing: images per second, the products and the memory traffic of each image, and the shares of the machine's rates.

Steps differ, because R1 and path lengths are due in some only. Each kind is timed by itself and weighs as often as it comes in a cycle, so a
run that is stopped early gives the rate of whole cycles too. Counts are those of `machine.Counted`: a share of the product rate is that of what
the way computes, a share of the copy rate that of bytes which go to memory and back after each operation. Where maps fit into a cache the latter
can exceed 1; where kernels are compiled into one, it says how much traffic was saved.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from hdgan.generator.calls import plain_calls
from hdgan.generator.networks import SMALL_PX, drawing_format, for_drawing
from hdgan.generator.phases import train_step
from hdgan.generator.settings import TrainSettings
from hdgan.generator.spec import NetworkSpec
from hdgan.generator.state import TrainingState
from hdgan.training.devices import whole_float32
from machine import Counted, copy_rate, now, product_rate

Kind = tuple[bool, bool]
"""Whether path lengths are due, and whether R1 is."""


@dataclass(frozen=True)
class Timed:
    """What was found, for one image."""

    images_per_second: float
    num_steps: int
    """Steps, or drawings, that were timed."""
    flop: dict[str, float] = field(default_factory=dict)
    """By number format."""
    bytes: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


def random_images(settings: TrainSettings, spec: NetworkSpec, device: str) -> Tensor:
    """A batch of noise as it reaches a step."""
    size = spec.resolution
    return (torch.rand(settings.batch, 3, size, size, device=device) * 2 - 1).contiguous(memory_format=torch.channels_last)


def time_training(
    state: TrainingState, real: Tensor, settings: TrainSettings, *, num_steps: int, seconds: float = math.inf, device: str = "cpu"
) -> Timed:
    """The rate of whole cycles, from `num_steps` steps; after `seconds` no further one begins, once each kind of step was seen.

    Each kind runs once before, while it is counted: memory is allocated and kernels are chosen then.
    """
    often = kinds_of_a_cycle(settings)
    counts = {kind: _counted(state, real, settings, kind) for kind in often}
    spent: dict[Kind, list[float]] = defaultdict(list)
    state.num_steps = 0
    begun = now(device)
    while state.num_steps < num_steps and (now(device) < begun + seconds or len(spent) < len(often)):
        kind, since = kind_of(state.num_steps, settings), now(device)
        train_step(state, real, settings)
        spent[kind].append(now(device) - since)
    weights = {kind: often[kind] / sum(often[seen] for seen in spent) for kind in spent}
    step = sum(weights[kind] * sum(times) / len(times) for kind, times in spent.items())
    flop = {
        precision: sum(weights[kind] * counts[kind].flop[precision] for kind in spent) / settings.batch
        for precision in sorted({name for kind in spent for name in counts[kind].flop})
    }
    traffic = sum(weights[kind] * counts[kind].bytes for kind in spent) / settings.batch
    return Timed(settings.batch / step, sum(map(len, spent.values())), flop, traffic)


def time_drawing(spec: NetworkSpec, *, num: int, device: str = "cpu", formats: tuple[torch.memory_format, ...] = ()) -> Timed:
    """The rate of drawing images one by one as a trained generator does: float32 in all blocks, and no gradients.

    `weights.load_generator` makes the same network, and `TrainedGenerator` draws in whole float32. Of several memory `formats` of its weights
    the fastest counts; none given: the usual one.
    """
    network = for_drawing(spec).to(device).eval().requires_grad_(False)
    found = []
    with torch.no_grad(), whole_float32():
        latents = torch.randn(num, 1, spec.z_dim, device=device)
        for memory_format in formats or (drawing_format(spec.resolution),):
            network.to(memory_format=memory_format)  # type: ignore[call-overload]
            if not formats and spec.resolution <= SMALL_PX:
                network.hold()
            with Counted() as counted:
                network(latents[0])
            begun = now(device)
            for z in latents:
                network(z)
            found.append(Timed(num / (now(device) - begun), num, dict(counted.flop), float(counted.bytes)))
    return max(found, key=lambda timed: timed.images_per_second)


def rates_for(*timed: Timed, device: str, allow_tf32: bool = False) -> dict[str, float]:
    """The machine's rates of products in the formats that occur, in FLOP per second, and under `copy` in bytes per second."""
    formats = sorted({precision for one in timed for precision in one.flop})
    return {precision: product_rate(precision, device=device, allow_tf32=allow_tf32) for precision in formats} | {
        "copy": copy_rate(device=device)
    }


def shares(timed: Timed, rates: dict[str, float]) -> dict[str, float]:
    """The shares of the time that products, and copies of as many bytes, would take at the machine's rates."""
    product_seconds = sum(flop / rates[precision] for precision, flop in timed.flop.items())
    return {"product": product_seconds * timed.images_per_second, "copy": timed.bytes / rates["copy"] * timed.images_per_second}


def kind_of(number: int, settings: TrainSettings) -> Kind:
    """Which penalties step `number` takes."""
    return (
        bool(settings.path_weight) and number % settings.path_interval == 0,
        bool(settings.gamma and settings.r1_interval) and number % settings.r1_interval == 0,
    )


def kinds_of_a_cycle(settings: TrainSettings) -> Counter[Kind]:
    """How often each kind of step comes until all begins anew."""
    length = math.lcm(settings.path_interval, settings.r1_interval or 1)
    return Counter(kind_of(number, settings) for number in range(length))


def _counted(state: TrainingState, real: Tensor, settings: TrainSettings, kind: Kind) -> Counted:
    """One step of that kind, counted operation by operation; compiled ways take the step once more, so that all is compiled."""
    first = next(
        number for number in range(math.lcm(settings.path_interval, settings.r1_interval or 1)) if kind_of(number, settings) == kind
    )
    usual, state.calls, state.num_steps = state.calls, plain_calls(state.G, state.D), first
    with Counted() as counted:
        train_step(state, real, settings)
    state.calls, state.num_steps = usual, first
    if settings.is_compiled:
        train_step(state, real, settings)
    return counted
