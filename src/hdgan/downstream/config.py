"""Settings of the segmenter, of real image and mask pairs, of the oracle and of the comparison."""

from __future__ import annotations

import itertools
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

_FROZEN = ConfigDict(frozen=True, extra="forbid")


class SegmenterConfig(BaseModel):
    """A U-Net (Ronneberger et al. 2015; residual variant of Kerfoot et al. 2018 as MONAI builds it) and how it is trained."""

    model_config = _FROZEN

    channels: tuple[int, ...] = (16, 32, 48, 64, 96)
    """Channels of each level, fine to coarse. The first works at full size, each further one at half the edge, but the last, which stays."""
    num_res_units: int = Field(default=2, ge=0, le=4)
    """Residual units per level (0: plain double convolutions)."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Share of activations dropped in training."""
    crop_px: int | None = Field(default=None, ge=16)
    """Edge of a training crop, px; unset: the shortest edge among the training images, rounded down to what the levels can halve."""
    steps: int = Field(default=1500, ge=1)
    """Optimiser steps."""
    batch: int = Field(default=16, ge=1)
    """Crops per step."""
    learning_rate: float = Field(default=2e-3, gt=0, le=1)
    """Peak learning rate of AdamW; it rises over the first 5 % of the steps and falls to 1 % along a cosine."""
    weight_decay: float = Field(default=1e-2, ge=0)
    """Decoupled weight decay of AdamW."""
    dice_weight: float = Field(default=1.0, ge=0)
    """Weight of the soft Dice loss beside cross-entropy (weight 1)."""
    ema: float = Field(default=0.99, ge=0, lt=1)
    """Decay per step of the running average of the weights that is kept as the result (0: the last weights)."""
    turn: bool = True
    """Turn crops by any angle where the image is large enough, else by quarter turns; flips always."""
    stain: float = Field(default=0.15, ge=0, le=1)
    """Standard deviation of the gain and a quarter of it of the offset per colour channel, in optical density; 0: none."""
    blur_px: float = Field(default=1.0, ge=0, le=10)
    """Largest Gaussian blur (standard deviation, px) given to half of the crops; 0: none."""
    noise: float = Field(default=0.02, ge=0, le=1)
    """Largest standard deviation of pixel noise, as a share of the full range; 0: none."""
    average_turns: bool = True
    """Predict with the mean over the 8 flips and quarter turns."""
    checkpoint_steps: int = Field(default=250, ge=1)
    """Steps between two saves of the resumable state."""

    @model_validator(mode="after")
    def _levels(self) -> Self:
        if len(self.channels) < 2 or min(self.channels) < 1:
            raise ValueError("channels: give at least two levels, each of one channel or more")
        if self.crop_px is not None and self.crop_px % self.stride_px:
            raise ValueError(f"crop_px: {self.crop_px} is not a multiple of {self.stride_px}, which {len(self.channels)} levels need")
        return self

    @property
    def stride_px(self) -> int:
        """Edges must be a multiple of this, px."""
        return int(2 ** (len(self.channels) - 2))


class RealSet(BaseModel):
    """One named set of pairs and the blocks of the slide it is cut from."""

    model_config = _FROZEN

    rows: tuple[tuple[int, int], ...] = Field(min_length=1)
    """Blocks along y: (first row, one past the last row), level-0 px."""
    stride_px: int | None = Field(default=None, ge=1)
    """Step between two tiles, px at `mpp`; unset: the tile's edge, so that no pixel is in two tiles."""
    margin_px: int = Field(default=0, ge=0)
    """Tissue kept on each side beyond the tile, px at `mpp`: a training crop can then be turned by any angle (0.21 of the tile's edge)."""


class RealConfig(BaseModel):
    """Pairs cut from one slide on which somebody outlined regions."""

    model_config = _FROZEN

    tile_px: int = Field(default=64, ge=16)
    """Edge of a tile, px at `mpp`."""
    mpp: float = Field(default=2.0, gt=0, le=64)
    """Scale of the pairs, um/px: that of the generator they are compared with."""
    background: str = "cortical tubulointerstitium"
    """Class of tissue outside every region."""
    whitespace: str | None = "whitespace"
    """Class of white pixels outside every region; unset: they are `background` too."""
    white_above: int = Field(default=200, ge=0, le=255)
    """A pixel is white when its darkest channel is above this ..."""
    white_spread: int = Field(default=25, ge=1, le=256)
    """... and its brightest and darkest channel differ by less than this."""
    max_white: float = Field(default=0.9, ge=0, le=1)
    """Tiles with a larger share of white pixels are left out."""
    sets: dict[str, RealSet] = Field(min_length=1)
    """The sets by name. No two blocks overlap, within a set or between sets."""

    @model_validator(mode="after")
    def _blocks(self) -> Self:
        spans = sorted((start, stop, name) for name, part in self.sets.items() for start, stop in part.rows)
        for start, stop, name in spans:
            if not 0 <= start < stop:
                raise ValueError(f"sets: {name} has the rows {start} to {stop}; write first row, one past the last row")
        for (_, stop, name), (start, _, other) in itertools.pairwise(spans):
            if start < stop:
                raise ValueError(f"sets: {name} and {other} share rows {start} to {stop}; blocks must not overlap")
        return self


class OracleConfig(BaseModel):
    """A segmenter that stands in for the expert."""

    model_config = _FROZEN

    name: str = Field(default="oracle", min_length=1)
    """How the annotator is called wherever its masks are used."""
    train_set: str = "oracle"
    """Set of pairs it learns from."""
    test_set: str = "test"
    """Set of pairs its held-out Dice is measured on; never used for training or choice."""
    segmenter: SegmenterConfig = SegmenterConfig()
    """Network and training."""


class DownstreamConfig(BaseModel):
    """The comparison: one network, trained on synthetic pairs and on the few real ones."""

    model_config = _FROZEN

    segmenter: SegmenterConfig = SegmenterConfig()
    """Network and training, the same for every arm: equal steps, equal batch."""
    fit_set: str = "fit"
    """Set of real pairs the real-only arm learns from."""
    test_set: str = "test"
    """Set of real pairs every arm is tested on."""
    num_real: int = Field(default=16, ge=1)
    """Real images given to the real-only arm (all of the set, where it has fewer), chosen by the seed."""
    arms: tuple[str, ...] = ("synthetic", "real", "both")
    """Which of synthetic, real, both are trained."""
    resamples: int = Field(default=1000, ge=100)
    """Bootstrap draws over test images for the intervals."""
    num_panels: int = Field(default=8, ge=0, le=64)
    """Test images drawn in the panels."""

    @model_validator(mode="after")
    def _arms(self) -> Self:
        unknown = sorted(set(self.arms) - {"synthetic", "real", "both"})
        if unknown or not self.arms or len(set(self.arms)) != len(self.arms):
            raise ValueError(f"arms: {self.arms}; choose among synthetic, real, both, each once")
        return self
