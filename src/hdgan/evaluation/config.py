"""Settings of the evaluation stage."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from hdgan.measures.boundary import usual_distance_px
from hdgan.refinement.config import RefinementConfig


class EvaluationConfig(BaseModel):
    """What the classifier is compared with, and what the report says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    controls: tuple[Literal["filters", "untrained", "unet"], ...] = ("filters", "untrained", "unet")
    """Methods fitted on the same annotated images: pixel classifier on colour and filters; on an untrained generator's
    features; U-Net on the images."""
    boundary_px: float | None = Field(default=None, ge=1)
    """Width of the band along contours in which boundary IoU counts; unset: 2 % of the image's diagonal, at least 1 px."""
    folds: int = Field(default=0, ge=0, le=100)
    """Parts of a cross-validation over all annotated images, each part tested by a classifier fitted on others; below 2: none.
    Costs a fit of the classifier for each part."""
    refinement: RefinementConfig = RefinementConfig()
    """Clean-up of contours that is measured before and after; only `[dataset.refinement]` applies it."""
    panels: int = Field(8, ge=1)
    """Images shown in the report, the worst first."""
    resamples: int = Field(1000, ge=10)
    """Bootstrap resamples of images for the intervals."""
    remark: str = ""
    """A sentence that must stand beside every number, such as "same patient in training and test"."""

    def band_px(self, size_px: int) -> float:
        """Width of the band in images of edge `size_px`."""
        return usual_distance_px(size_px) if self.boundary_px is None else self.boundary_px
