"""The training of a segmenter, by counters: the same command resumes, bit for bit.

Batch and views of step k come from the stream "segmenter.step" at counter k, and dropout is reseeded from it, so nothing but weights,
moments and averages needs to be kept.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from hdgan.downstream.augment import apply_view, draw_view
from hdgan.downstream.config import SegmenterConfig
from hdgan.downstream.losses import dice_ce
from hdgan.downstream.segmenter import Segmenter, untrained
from hdgan.errors import BadInput, Diverged
from hdgan.labels import ClassMap
from hdgan.progress import SILENT, Progress
from hdgan.randomness import stream
from hdgan.store.hashing import hash_json
from hdgan.store.pairs import PairFolder
from hdgan.training import checkpoint, seeds

_WARM_UP = 0.05
_LAST_RATE = 0.01


class Pairs(Protocol):
    """Images with masks, by number."""

    def __len__(self) -> int:
        """How many."""

    def pair(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Image uint8 `[H, W, 3]` and mask uint8 `[H, W]`."""


class HeldPairs:
    """Pairs in memory."""

    def __init__(self, images: Sequence[np.ndarray], masks: Sequence[np.ndarray]) -> None:
        self.images, self.masks = images, masks
        if not images or len(images) != len(masks):
            raise BadInput("pairs", f"{len(images)} images and {len(masks)} masks", "give each image one mask, and at least one pair")

    def __len__(self) -> int:
        """How many."""
        return len(self.images)

    def pair(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Image and mask."""
        return self.images[index], self.masks[index]


class StoredPairs:
    """Pairs of a folder, read when asked for: all of them, or those of `stems`."""

    def __init__(self, folder: PairFolder, stems: Sequence[str] | None = None) -> None:
        self.folder = folder
        self.stems = tuple(folder.stems if stems is None else stems)

    def __len__(self) -> int:
        """How many."""
        return len(self.stems)

    def pair(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Image and mask."""
        return self.folder.image(self.stems[index]), self.folder.mask(self.stems[index])


class JoinedPairs:
    """Two sets of which every batch sees half each, whatever their sizes: pair 2i is of the first, 2i + 1 of the second."""

    def __init__(self, first: Pairs, second: Pairs) -> None:
        self.sets = (first, second)

    def __len__(self) -> int:
        """Twice the larger of the two; the smaller repeats."""
        return 2 * max(len(part) for part in self.sets)

    def pair(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Image and mask."""
        part = self.sets[index % 2]
        return part.pair((index // 2) % len(part))


def fit_segmenter(
    pairs: Pairs,
    config: SegmenterConfig,
    *,
    classes: ClassMap,
    mpp: float | None,
    name: str,
    seed: int,
    state: Path | None = None,
    device: str = "cpu",
    progress: Progress = SILENT,
) -> Segmenter:
    """A segmenter trained on `pairs`; `state` is a folder for resumable states (unset: nothing is kept).

    Raises:
        BadInput: an image is smaller than the crop.
        Diverged: the loss is no longer finite.
    """
    crop_px = config.crop_px or common_crop(pairs, stride_px=config.stride_px)
    segmenter = untrained(config, classes=classes, crop_px=crop_px, mpp=mpp, name=name, seed=seed)
    network = segmenter.network.to(device).train()
    average = {key: value.detach().clone() for key, value in network.state_dict().items()}
    optimiser = torch.optim.AdamW(network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True)
    run = hash_json([config.model_dump(mode="json"), classes.to_json(), seed, name, len(pairs)])
    step = _restore(state, run, network, average, optimiser) if state else 0
    progress.start(f"train {name}", total=config.steps, done=step)
    while step < config.steps:
        if state and step and step % config.checkpoint_steps == 0:
            _save(state, run, step, network, average, optimiser)
        for group in optimiser.param_groups:
            group["lr"] = config.learning_rate * rate(step, config.steps)
        images, labels = _batch(pairs, config, crop_px, seed=seed, step=step, device=device)
        seeds.reseed(seed, "segmenter.dropout", step)
        loss = dice_ce(network(images - 0.5), labels, dice_weight=config.dice_weight)
        if not bool(torch.isfinite(loss)):
            raise Diverged(f"{name}: the loss is not finite at step {step}; lower segmenter.learning_rate")
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        _average(average, network, beta=min(config.ema, (1 + step) / (10 + step)))
        step += 1
        progress.advance(note=f"loss {loss.item():.3f}" if step % 10 == 0 else "")
    progress.finish()
    network.load_state_dict(average)
    return replace(segmenter, network=network.eval().requires_grad_(False))


def rate(step: int, steps: int) -> float:
    """The learning rate at `step` as a share of its peak: linear rise, cosine fall."""
    rise = max(1, round(_WARM_UP * steps))
    if step < rise:
        return (step + 1) / rise
    return _LAST_RATE + (1 - _LAST_RATE) * 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))


def common_crop(pairs: Pairs, *, stride_px: int) -> int:
    """The largest crop that fits in every image, a multiple of `stride_px`.

    Raises:
        BadInput: there is none.
    """
    edge = int(min(min(pairs.pair(index)[1].shape) for index in range(len(pairs))))
    if edge < stride_px:
        raise BadInput(
            "segmenter.channels", f"{stride_px} px is the least edge these levels can halve, an image has {edge} px", "fewer levels"
        )
    return edge - edge % stride_px


def _batch(pairs: Pairs, config: SegmenterConfig, crop_px: int, *, seed: int, step: int, device: str) -> tuple[Tensor, Tensor]:
    """Images float32 `[N, 3, crop, crop]` in 0 to 1 and labels int64 `[N, crop, crop]` of step number `step`."""
    rng = stream(seed, "segmenter.step", step)
    images, labels = [], []
    for index in rng.integers(len(pairs), size=config.batch):
        image, mask = pairs.pair(int(index))
        if min(mask.shape) < crop_px:
            raise BadInput("segmenter.crop_px", f"{crop_px} px is larger than an image of {mask.shape} px", "choose a smaller crop")
        pixels, known = apply_view(draw_view(rng, config), image, mask, crop_px=crop_px)
        images.append(pixels)
        labels.append(known)
    stacked = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)  # channels last, as the network is kept
    return stacked.to(device), torch.from_numpy(np.stack(labels).astype(np.int64)).to(device)


@torch.no_grad()
def _average(average: dict[str, Tensor], network: nn.Module, *, beta: float) -> None:
    now = network.state_dict()
    moving = [key for key, value in now.items() if value.is_floating_point()]
    torch._foreach_lerp_([average[key] for key in moving], [now[key] for key in moving], 1 - beta)
    for key in now.keys() - moving:
        average[key].copy_(now[key])


def _save(state: Path, run: str, step: int, network: nn.Module, average: dict[str, Tensor], optimiser: torch.optim.Optimizer) -> None:
    tensors = {f"network.{key}": value for key, value in network.state_dict().items()}
    tensors |= {f"average.{key}": value for key, value in average.items()}
    for index, moments in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{key}": value for key, value in moments.items()}
    checkpoint.save(state, step=step, tensors=tensors, facts={"run": run, "step": step}, keep=2)


def _restore(state: Path, run: str, network: nn.Module, average: dict[str, Tensor], optimiser: torch.optim.Optimizer) -> int:
    """The step to go on with: that of the newest state of this very run, else 0."""
    found = checkpoint.newest(state) if state.is_dir() else None
    if found is None or found.facts.get("run") != run:
        return 0
    parts: dict[str, dict[str, Tensor]] = {"network": {}, "average": {}, "optimiser": {}}
    for key, value in found.tensors.items():
        part, _, name = key.partition(".")
        parts[part][name] = value
    network.load_state_dict(parts["network"])
    for key, value in parts["average"].items():
        average[key].copy_(value)
    weights, moments = list(network.parameters()), dict[int, dict[str, Tensor]]()
    for key, value in parts["optimiser"].items():
        index, _, name = key.partition(".")
        # Fused steps walk through memory, so moments must lie as their weights do, channels last.
        like = weights[int(index)]
        moments.setdefault(int(index), {})[name] = torch.empty_like(like).copy_(value) if value.shape == like.shape else value
    optimiser.load_state_dict({"state": moments, "param_groups": optimiser.state_dict()["param_groups"]})
    return int(found.facts["step"])
