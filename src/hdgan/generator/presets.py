"""Named settings for networks and training, by resolution and batch.

`auto` and `stylegan2` follow the published tables (arXiv 2006.06676, appendix; arXiv 1912.04958). `small` is ours: a
few million parameters that learn tissue on a CPU (docs/decisions/003-small-preset.md). `large` is ours for 2048 px and
more, where the published rule would train with one image per step and an R1 weight of hundreds.
"""

from __future__ import annotations

from typing import Any

from hdgan.errors import BadConfig

PRESETS = ("small", "auto", "stylegan2", "large")


def network(preset: str, resolution: int) -> dict[str, Any]:
    """Fields of `NetworkSpec` under `preset`.

    Raises:
        BadConfig: there is no such preset.
    """
    if preset not in PRESETS:
        raise BadConfig("generator.preset", f"{preset!r}", f"use one of {', '.join(PRESETS)}")
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
    fields = {"low_precision": "float16", "num_low_precision": 4, "clamp": 256.0, "channel_base": 32768}
    if preset == "auto":
        return fields | {"channel_base": 32768 if resolution >= 512 else 16384}
    if preset == "stylegan2":
        return fields | {"mapping_layers": 8}
    return fields | {"low_precision": "bfloat16", "clamp": None}


def training(preset: str, resolution: int) -> dict[str, Any]:
    """Fields of `TrainSettings` under `preset`.

    Raises:
        BadConfig: there is no such preset.
    """
    if preset not in PRESETS:
        raise BadConfig("generator.preset", f"{preset!r}", f"use one of {', '.join(PRESETS)}")
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
    if preset == "stylegan2":
        return {"kimg": 25000.0, "batch": 32, "gamma": 10.0, "lr": 0.002, "ema_kimg": 10.0, "ema_rampup": None}
    if preset == "auto":
        batch = max(min(4096 // resolution, 32), 4)
        gamma = 0.0002 * resolution**2 / batch
        return {"kimg": 25000.0, "batch": batch, "gamma": gamma, "lr": 0.002 if resolution >= 1024 else 0.0025, "ema_kimg": batch * 10 / 32}
    # The rule for R1 at 1024 px and 32 images, kept above: it grows with resolution^2 / batch, which no run supports there.
    return {"kimg": 5000.0, "batch": 32, "microbatch": 4, "gamma": 10.0, "lr": 0.002, "ema_kimg": 10.0, "augment": "tissue"}
