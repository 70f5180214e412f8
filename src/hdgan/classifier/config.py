"""Settings of the classifier stage."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

VALIDATION_PIXELS = 8192
"""Pixels of each validation image on which epochs are compared; smaller images count whole."""


class ClassifierConfig(BaseModel):
    """The pixel classifier and its training. docs/formats/classifier.md gives the published values."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    hidden: tuple[int, int] = (128, 32)
    """Widths of the two hidden layers."""
    dropout: float = Field(0.3, ge=0, lt=1)
    """Share of hidden values dropped in training, after each hidden layer."""
    members: int = Field(5, ge=1, le=100)
    """Classifiers in the ensemble (paper: 1; DatasetGAN: 10); their disagreement is the uncertainty."""
    optimiser: Literal["adam", "sgd"] = "adam"
    """`sgd` is the paper's; with its step of 1e-4 it needs hundreds of epochs."""
    lr: float = Field(1e-3, gt=0)
    """Step of the optimiser (paper: 1e-4 with sgd)."""
    momentum: float = Field(0.0, ge=0, lt=1)
    """Of sgd (paper: vanilla)."""
    weight_decay: float = Field(0.1, ge=0)
    """Pull of the weights towards 0, in units of the step (AdamW; with sgd added to the gradient); paper: 0."""
    epochs: int = Field(50, ge=1)
    """Passes over the drawn pixels."""
    batch_pixels: int = Field(1024, ge=2)
    """Pixels in a step."""
    pixels_per_image: int = Field(2048, ge=16)
    """Pixels drawn from each training image, anew for every member."""
    balance: float = Field(0.5, ge=0, le=1)
    """How far rare classes are drawn more often: chance of a class is its share to the power 1 - balance."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
