"""Settings of the generator stage."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from hdgan.errors import BadConfig
from hdgan.generator import presets
from hdgan.generator.augment_draws import SETS
from hdgan.generator.settings import TrainSettings
from hdgan.generator.spec import NetworkSpec

_NETWORK_OVERRIDES = (
    "z_dim",
    "w_dim",
    "channel_base",
    "channel_max",
    "mapping_layers",
    "low_precision",
    "start",
    "noise_from_px",
    "noise_maps",
)
_TRAINING_OVERRIDES = (
    "kimg",
    "batch",
    "microbatch",
    "recompute_from_px",
    "lr",
    "lr_decay_from",
    "gamma",
    "path_weight",
    "mixing",
    "ema_kimg",
    "augment",
    "ada_target",
    "ada_p",
)


class GeneratorConfig(BaseModel):
    """What to train, and how long. A field left out takes the preset's value."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    resolution: int = Field(64, ge=16, le=4096)
    """Edge of the generated images, px; a power of two."""
    preset: Literal["small", "auto", "stylegan2", "large"] = "small"
    """`small` learns on a CPU, `auto` and `stylegan2` are the published settings, `large` is for 2048 px and more."""
    kimg: float | None = Field(None, gt=0)
    """Length of the training in thousands of real images."""
    batch: int | None = Field(None, ge=1)
    """Images per step."""
    microbatch: int | None = Field(None, ge=1)
    """Images per pass; must divide the batch."""
    recompute_from_px: int | None = Field(None, ge=4)
    """Blocks of at least this resolution are computed twice instead of kept for the gradient: half the memory, a third more time."""
    lr: float | None = Field(None, gt=0)
    """Adam's step."""
    lr_decay_from: float | None = Field(None, ge=0, le=1)
    """Share of the training after which Adam's step falls along a cosine to a fifth; 1: never."""
    gamma: float | None = Field(None, ge=0)
    """Weight of R1."""
    path_weight: float | None = Field(None, ge=0)
    """Weight of path-length regularisation; 0: off."""
    mixing: float | None = Field(None, ge=0, le=1)
    """Chance of style mixing."""
    ema_kimg: float | None = Field(None, gt=0)
    """Half-life of the averaged weights, thousands of images."""
    augment: str | None = None
    """Set of augmentations in front of the discriminator: none, blit, bg, bgc, bgcf, bgcfn, bgcfnc, tissue, tissue-blit, histology, histology-blit."""
    ada_target: float | None = Field(None, ge=-1, le=1)
    """Wanted mean sign of the logits on real images."""
    ada_p: float | None = Field(None, ge=0, le=1)
    """Chance of each augmentation at the beginning."""
    z_dim: int | None = Field(None, ge=1)
    w_dim: int | None = Field(None, ge=1)
    mapping_layers: int | None = Field(None, ge=1)
    channel_base: int | None = Field(None, ge=16)
    """Channels at resolution r are min(channel_base / r, channel_max)."""
    channel_max: int | None = Field(None, ge=1)
    low_precision: Literal["float32", "float16", "bfloat16"] | None = None
    """Number format of the finest blocks in training; images are always drawn in float32."""
    start: Literal["constant", "latent"] | None = None
    """What the 4x4 block begins with."""
    noise_from_px: int | None = Field(None, ge=4)
    """Blocks of at least this resolution have noise inputs; more than `resolution`: none has."""
    noise_maps: Literal["shared", "own"] | None = None
    """Images are drawn with the noise stored in the network (`shared`, as published), or each with its `own`."""
    weights: Literal["float32", "float16"] = "float32"
    """Number format of the weights that are kept; images are drawn from the rounded ones (float16: half the file)."""
    held_out_fold: int | None = Field(None, ge=0)
    """Tiles of this fold are not trained on; None: all are."""
    is_turned: bool = True
    """Crops are turned and mirrored (tissue has no preferred direction)."""
    snapshot_kimg: float = Field(10.0, gt=0)
    """Thousands of images between grids of samples."""
    save_minutes: float = Field(5.0, gt=0)
    """Minutes between resumable states; how often changes no result."""
    device: Literal["auto", "cpu", "cuda"] = "auto"

    def network_spec(self) -> NetworkSpec:
        """The networks that these settings name."""
        return NetworkSpec(resolution=self.resolution, **presets.network(self.preset, self.resolution) | self._given(_NETWORK_OVERRIDES))

    def train_settings(self, *, seed: int) -> TrainSettings:
        """The schedule that these settings name.

        Raises:
            BadConfig: a value is impossible, or the set of augmentations unknown.
        """
        settings = TrainSettings(seed=seed, **presets.training(self.preset, self.resolution) | self._given(_TRAINING_OVERRIDES))
        if settings.augment not in SETS:
            raise BadConfig("generator.augment", f"{settings.augment!r}", f"use one of {', '.join(SETS)}")
        return settings

    def _given(self, names: tuple[str, ...]) -> dict[str, Any]:
        return {name: value for name in names if (value := getattr(self, name)) is not None}
