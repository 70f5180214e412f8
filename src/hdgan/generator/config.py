"""Settings of the generator stage."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from hdgan.errors import BadConfig
from hdgan.generator import presets
from hdgan.generator.augment_sets import SETS
from hdgan.generator.settings import TrainSettings
from hdgan.generator.spec import NetworkSpec
from hdgan.store.archive import read_rows

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
    "discriminator",
)
_TRAINING_OVERRIDES = (
    "kimg",
    "batch",
    "microbatch",
    "recompute_from_px",
    "is_compiled",
    "allow_tf32",
    "lr",
    "lr_decay_from",
    "gamma",
    "path_weight",
    "mixing",
    "ema_kimg",
    "augment",
    "ada_target",
    "ada_p",
    "ada_p_max",
)
_FEWEST_LABELS = 2
"""Of a training with labels: one alone is refused."""
_TRANSFERRED = {"ada_kimg": 100.0, "ema_rampup": None}
"""What the published code changes for a training that begins with trained weights."""
_LATER = ("discriminator", "flips", "is_quarter_turned", "condition", "init_from", "freeze_d", "lr_decay_from", "ada_p_max", "allow_tf32")
"""Fields that earlier versions had not: recorded where they were set, so that runs of those versions stay current."""
_CHANGE_NO_WEIGHT = {"save_minutes", "device", "quality_images", "keep_snapshots", "recompute_from_px", "is_compiled", "init_from"}
"""Fields that are not recorded: they decide how, not what. (What `init_from` held stands with the inputs.)"""


def _is_list(value: Any) -> str:
    return "cycle" if isinstance(value, list | tuple) else "number"


_Kimg = Annotated[float, Field(gt=0)]
_Length = Annotated[
    Annotated[_Kimg | None, Tag("number")] | Annotated[tuple[_Kimg, ...], Field(min_length=1), Tag("cycle")], Discriminator(_is_list)
]
"""One number or several; told apart by hand, so that what is wrong is told of the one that was meant."""


def _is_word(value: Any) -> str:
    return "word" if isinstance(value, str) else "number"


_Target = Annotated[
    Annotated[Annotated[float, Field(ge=-1, le=1)] | None, Tag("number")] | Annotated[Literal["fixed"], Tag("word")],
    Discriminator(_is_word),
]
"""A number or one word, told apart likewise."""


class GeneratorConfig(BaseModel):
    """What to train, and how long. A field left out takes the preset's value."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    resolution: int = Field(64, ge=16, le=4096)
    """Edge of the generated images, px; a power of two."""
    preset: Literal["small", "auto", "stylegan2", "paper256", "paper512", "paper1024", "cifar", "large"] = "small"
    """`small` learns on a CPU, `large` is for 2048 px and more, the others are the published settings (`auto`: at most 1024 px)."""
    kimg: _Length = None
    """Length of the training in thousands of real images; several numbers are cycles, each of which begins with the full step again."""
    batch: int | None = Field(None, ge=1)
    """Images per step."""
    microbatch: int | None = Field(None, ge=1)
    """Images per pass, of all processes together; must divide the batch."""
    recompute_from_px: int | None = Field(None, ge=4)
    """Blocks of at least this resolution are computed twice instead of kept: half the memory for the losses, a quarter less with R1, a third more time."""
    is_compiled: bool = False
    """Networks and penalties are compiled by torch when they are first called: minutes at the start, fewer passes over memory after."""
    allow_tf32: bool = False
    """On a GPU convolutions in float32 may round what they multiply to 10 bits (TF32) while training: faster, less exact. Images are drawn without."""
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
    ada_target: _Target = None
    """Wanted mean sign of the logits on real images; `"fixed"`: the chance stays at `ada_p`."""
    ada_p: float | None = Field(None, ge=0, le=1)
    """Chance of each augmentation at the beginning."""
    ada_p_max: float | None = Field(None, ge=0, le=1)
    """The chance rises no further: above about 0.8 augmentations leak into the images."""
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
    discriminator: Literal["resnet", "orig"] | None = None
    """Blocks of the discriminator beside a 1x1 skip (`resnet`), or without (`orig`)."""
    weights: Literal["float32", "float16"] = "float32"
    """Number format of the weights that are kept; images are drawn from the rounded ones (float16: half the file)."""
    held_out_fold: int | None = Field(None, ge=0)
    """Tiles of this fold are not trained on; None: all are."""
    is_turned: bool = True
    """Crops are turned, by any angle where tiles have a margin, and mirrored (tissue has no preferred direction)."""
    flips: Literal["none", "x", "y", "both"] = "none"
    """Without `is_turned`: crops are mirrored left to right (`x`), top to bottom (`y`), or either and both."""
    is_quarter_turned: bool = False
    """Without `is_turned`: crops are turned by 0, 90, 180 or 270 degrees."""
    condition: Literal["none", "stain", "centre", "patient"] = "none"
    """Column of the tile index that the generator takes as a label: images of one can be asked for. Its values stand in the weights."""
    init_from: Path | None = None
    """Weights to begin with: a `generator.safetensors`, a resumable state, or a folder that holds one; also of half the resolution or less."""
    freeze_d: int = Field(0, ge=0)
    """Layers of the discriminator, from the image on, that keep the weights of `init_from`; 10 or 13 are usual with few tiles."""
    snapshot_kimg: float = Field(10.0, ge=0.001)
    """Thousands of images between grids of samples."""
    quality_images: int = Field(256, ge=0)
    """Images of a snapshot that are measured against real crops (`quality` in `stats.jsonl`); 0: none. Changes no result but that line."""
    keep_snapshots: bool = False
    """The averaged weights at each grid stay in `state/`, for `hdgan ablate --what snapshots`: a file of a generator each."""
    save_minutes: float = Field(5.0, gt=0)
    """Minutes between resumable states; how often changes no result."""
    device: Literal["auto", "cpu", "cuda"] = "auto"

    @model_validator(mode="after")
    def _fields_fit(self) -> Self:
        if self.is_turned and (self.flips != "none" or self.is_quarter_turned):
            raise ValueError("flips and is_quarter_turned need is_turned = false: turned crops are mirrored already")
        if self.freeze_d and self.init_from is None:
            raise ValueError("freeze_d needs init_from: layers with initial weights would never learn")
        return self

    def recorded(self) -> dict[str, Any]:
        """What the manifest says of these settings: all that can change the weights."""
        left_out = {name for name in _LATER if getattr(self, name) == type(self).model_fields[name].default}
        return self.model_dump(mode="json", exclude=_CHANGE_NO_WEIGHT | left_out)

    def num_labels(self, index: Path) -> tuple[int, bool]:
        """How many labels the networks take when they are trained on the tiles of `index`, and whether it is known; else the fewest that there can be.

        Raises:
            DamagedArtifact: the index cannot be read, and is needed.
        """
        if self.condition == "none":
            return 0, True
        if not index.exists():
            return _FEWEST_LABELS, False
        return len({getattr(row, self.condition) for row in read_rows(index) if row.fold != self.held_out_fold}), True

    def network_spec(self, *, label_dim: int = 0) -> NetworkSpec:
        """The networks that these settings name, for `label_dim` conditions."""
        fields = presets.network(self.preset, self.resolution, batch=self.batch)
        return NetworkSpec(resolution=self.resolution, label_dim=label_dim, **fields | self._given(_NETWORK_OVERRIDES))

    def train_settings(self, *, seed: int) -> TrainSettings:
        """The schedule that these settings name.

        Raises:
            BadConfig: a value is impossible, or the set of augmentations unknown.
        """
        fields = presets.training(self.preset, self.resolution, batch=self.batch) | self._given(_TRAINING_OVERRIDES)
        if isinstance(self.kimg, tuple):
            fields |= {"kimg": sum(self.kimg), "cycles_kimg": self.kimg}
        if self.microbatch is None and fields.get("microbatch"):
            fields["microbatch"] = math.gcd(fields["batch"], fields["microbatch"])  # another batch than the preset's
        if self.init_from is not None:
            fields |= _TRANSFERRED
        if self.ada_target == "fixed":
            fields |= {"ada_target": None}
        settings = TrainSettings(seed=seed, freeze_d=self.freeze_d, **fields)
        if settings.augment not in SETS:
            raise BadConfig("generator.augment", f"{settings.augment!r}", f"use one of {', '.join(SETS)}")
        return settings

    def _given(self, names: tuple[str, ...]) -> dict[str, Any]:
        return {name: value for name in names if (value := getattr(self, name)) is not None}
