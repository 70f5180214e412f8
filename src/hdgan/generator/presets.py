"""Named settings for networks and training, by resolution and batch.

The published ones are rows of one table (arXiv 2006.06676, appendix; arXiv 1912.04958): `auto`, which derives its weights
from resolution and batch, and `stylegan2`, `paper256`, `paper512`, `paper1024`, `cifar`. `small` is ours: a few million
parameters that learn tissue on a CPU (docs/decisions/003-small-preset.md). `large` is ours for 2048 px and more, where
the published rule would train with one image per step, no minibatch statistics and an R1 weight of thousands
(docs/decisions/007-statistics-across-passes.md).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from hdgan.errors import BadConfig


class _Published(NamedTuple):
    """One row of the table; what the reference run's number of GPUs leaves for each is our microbatch."""

    batch: int
    microbatch: int
    group: int
    width: float
    lr: float
    gamma: float
    ema_kimg: float
    kimg: float = 25000.0
    ema_rampup: float | None = None
    mapping_layers: int = 8


_PUBLISHED = {
    "stylegan2": _Published(32, 4, 4, 1.0, 0.002, 10.0, 10.0),
    "paper256": _Published(64, 8, 8, 0.5, 0.0025, 1.0, 20.0),
    "paper512": _Published(64, 8, 8, 1.0, 0.0025, 0.5, 20.0),
    "paper1024": _Published(32, 4, 4, 1.0, 0.002, 2.0, 10.0),
    "cifar": _Published(64, 32, 32, 1.0, 0.0025, 0.01, 500.0, kimg=100000.0, ema_rampup=0.05, mapping_layers=2),
}
_CHANNEL_BASE = 32768
PRESETS = ("small", "auto", *_PUBLISHED, "large")


def network(preset: str, resolution: int, *, batch: int | None = None) -> dict[str, Any]:
    """Fields of `NetworkSpec` under `preset`; `batch` where it is not the preset's own.

    Raises:
        BadConfig: there is no such preset.
    """
    _known(preset)
    if preset == "small":
        return {
            "z_dim": 128,
            "w_dim": 128,
            "mapping_lr": 0.1,
            "channel_base": 4096 if resolution <= 128 else 8192,
            "channel_max": 192 if resolution <= 128 else 256,
            "start": "latent",
            "noise_from_px": 8,
            "noise_maps": "own",
            "low_precision": "bfloat16",
            "num_low_precision": 16,
        }
    if preset == "large":
        return {"low_precision": "bfloat16", "num_low_precision": 4, "channel_base": _CHANNEL_BASE}
    fields: dict[str, Any] = {"low_precision": "float16", "num_low_precision": 4, "clamp": 256.0}
    if preset == "auto":
        group = min(batch or _auto_batch(resolution), 4)
        return fields | {"channel_base": _CHANNEL_BASE if resolution >= 512 else _CHANNEL_BASE // 2, "minibatch_std_group": group}
    row = _PUBLISHED[preset]
    fields |= {"channel_base": int(_CHANNEL_BASE * row.width), "minibatch_std_group": row.group, "mapping_layers": row.mapping_layers}
    return fields | ({"discriminator": "orig"} if preset == "cifar" else {})


def training(preset: str, resolution: int, *, batch: int | None = None) -> dict[str, Any]:
    """Fields of `TrainSettings` under `preset`; from `batch`, where it is given, `auto` derives its weights.

    Raises:
        BadConfig: there is no such preset.
    """
    _known(preset)
    if preset == "small":
        return {
            "kimg": 1000.0,
            "batch": 8,
            "gamma": 0.1 if resolution <= 64 else 0.3,
            "path_weight": 0.0,
            "mixing": 0.0,
            "ema_kimg": 5.0,
            "reuses_fakes": True,
            "augment": "tissue",
            "ada_kimg": 100.0,
        }
    if preset == "auto":
        num = batch or _auto_batch(resolution)
        lr = 0.002 if resolution >= 1024 else 0.0025
        return {"kimg": 25000.0, "batch": num, "gamma": 0.0002 * resolution**2 / num, "lr": lr, "ema_kimg": num * 10 / 32}
    if preset == "large":
        # One image per pass at 4096 px fits into 24 GiB, two at 2048 px; the statistics span the passes. The weight of R1 is that of
        # `stylegan2` at 1024 px and 32 images: the rule of `auto` goes on to 105 at 4096 px, with which nobody reports a run.
        microbatch = 1 if resolution >= 4096 else 2 if resolution >= 2048 else 4
        fields: dict[str, Any] = {"kimg": 5000.0, "batch": 32, "microbatch": microbatch, "gamma": 10.0, "lr": 0.002}
        fields |= {"recompute_from_px": 16} if resolution >= 2048 else {}  # with which the memory was measured (benchmarks/RESULTS.md)
        return fields | {"ema_kimg": 10.0, "augment": "tissue"}
    row = _PUBLISHED[preset]
    fields = {"kimg": row.kimg, "batch": row.batch, "microbatch": row.microbatch, "gamma": row.gamma, "lr": row.lr}
    fields |= {"ema_kimg": row.ema_kimg, "ema_rampup": row.ema_rampup}
    return fields | ({"path_weight": 0.0, "mixing": 0.0} if preset == "cifar" else {})


def _known(preset: str) -> None:
    if preset not in PRESETS:
        raise BadConfig("generator.preset", f"{preset!r}", f"use one of {', '.join(PRESETS)}")


def _auto_batch(resolution: int) -> int:
    """The published rule for one GPU."""
    return max(min(4096 // resolution, 32), 1)
