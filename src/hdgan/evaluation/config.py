"""Settings of the evaluation stage."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class EvaluationConfig(BaseModel):
    """What the classifier is compared with, and what the report says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    controls: tuple[Literal["filters", "untrained", "unet"], ...] = ("filters", "untrained", "unet")
    """Methods fitted on the same annotated images: pixel classifier on colour and filters; on an untrained generator's
    features; U-Net on the images."""
    panels: int = Field(8, ge=1)
    """Images shown in the report."""
    resamples: int = Field(1000, ge=10)
    """Bootstrap resamples of images for the intervals."""
    remark: str = ""
    """A sentence that must stand beside every number, such as "same patient in training and test"."""
