"""What a training would cost on this machine, from a few steps on random images: nothing is written, no tile is read."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from hdgan.generator.conditions import one_hot
from hdgan.generator.phases import train_step
from hdgan.generator.settings import TrainSettings
from hdgan.generator.spec import NetworkSpec
from hdgan.generator.state import TrainingState, new_state, to_tensors
from hdgan.training.memory import most_held

_ENOUGH_S = 2.0
_MAX_REPEATS = 5
_KEPT_STATES = 4  # the newest three and the best


@dataclass(frozen=True)
class Trial:
    """Measured time and memory, and the disk that follows from the shapes."""

    device: str
    batch: int
    """Images of the steps that were taken: one pass, or two where the minibatch statistics span passes."""
    plain_seconds: float
    """A step without a penalty."""
    r1_seconds: float
    """What R1 adds to a step that takes it."""
    path_seconds: float
    """What path-length regularisation adds to a step that takes it."""
    seconds_per_kimg: float
    memory_bytes: float | None
    """On a GPU the most that torch had allocated there, else the most that the process ever held, and the images of the whole batch that
    would wait for their passes; None where the system does not tell."""
    states_bytes: int
    """All states that are kept at a time."""
    weights_bytes: int


def try_training(spec: NetworkSpec, settings: TrainSettings, *, device: str = "cpu", is_half: bool = False) -> Trial:
    """The cost of training `spec` under `settings` on `device`, each penalty at the share of the steps that takes it.

    Networks that take labels are given each in turn. The augmentation is applied to every image, as late in a run; gradient accumulation
    counts as so many steps of its passes (of two at a time where statistics span passes, since each then runs more often).
    """
    short = _shortened(settings, spec)
    quiet = replace(short, path_weight=0.0, gamma=0.0)
    state = new_state(spec, short, device=device)
    shape = (short.batch, spec.image_channels, spec.resolution, spec.resolution)
    real = torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0)).to(device)
    plain = _seconds(state, real, quiet)
    with_r1 = _seconds(state, real, replace(quiet, gamma=short.gamma, r1_interval=1)) if short.gamma and short.r1_interval else plain
    with_path = _seconds(state, real, replace(quiet, path_weight=short.path_weight, path_interval=1)) if short.path_weight else plain
    r1, path = max(with_r1 - plain, 0.0), max(with_path - plain, 0.0)
    each = plain + (r1 / short.r1_interval if short.r1_interval else 0.0) + path / short.path_interval
    tensors, _ = to_tensors(state)
    most, waiting = _most_memory(device), (settings.num_bytes_held - short.num_bytes_held) * real[0].numel()
    numbers = sum(value.numel() for value in state.G_average.state_dict().values())
    return Trial(
        device=torch.cuda.get_device_name() if device.startswith("cuda") else "cpu",
        batch=short.batch,
        plain_seconds=plain,
        r1_seconds=r1,
        path_seconds=path,
        seconds_per_kimg=each * 1000 / short.batch,
        memory_bytes=None if most is None else most + waiting,
        states_bytes=_KEPT_STATES * sum(value.numel() * value.element_size() for value in tensors.values()),
        weights_bytes=numbers * (2 if is_half else 4),
    )


def _shortened(settings: TrainSettings, spec: NetworkSpec) -> TrainSettings:
    """`settings` with the smallest batch whose passes run as often, and hold as much, as those of the whole one."""
    num = settings.microbatch or settings.batch
    if settings.spans_passes(group=spec.minibatch_std_group):
        return replace(settings, batch=2 * num)  # spans them as well: the features are gathered, then each pass is run again
    return replace(settings, batch=num, microbatch=None)


def _seconds(state: TrainingState, real: torch.Tensor, settings: TrainSettings) -> float:
    """The median time of a step, the first one (in which memory is found and kernels are chosen) not counted."""
    times: list[float] = []
    for seconds in _steps(state, real, settings):
        times.append(seconds)
        if len(times) > 1 and (sum(times) > _ENOUGH_S or len(times) > _MAX_REPEATS):
            break
    return statistics.median(times[1:])


def _steps(state: TrainingState, real: torch.Tensor, settings: TrainSettings) -> Iterator[float]:
    num_labels = state.G.spec.label_dim
    labels = one_hot(np.arange(len(real)) % num_labels, num_labels).to(real.device) if num_labels else None
    while True:
        state.ada_p = 0.5 if settings.augment != "none" else 0.0
        begun = time.perf_counter()
        train_step(state, real, settings, labels)
        if real.is_cuda:
            torch.cuda.synchronize()
        yield time.perf_counter() - begun


def _most_memory(device: str) -> float | None:
    if device.startswith("cuda"):
        return float(torch.cuda.max_memory_allocated())
    return most_held()
