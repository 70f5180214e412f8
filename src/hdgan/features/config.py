"""Settings of the features stage."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class FeaturesConfig(BaseModel):
    """Which maps are tapped and how they are kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_blocks: int = Field(5, ge=1, le=11)
    """Blocks of the generator that are tapped, counted from the finest (paper: 5); every 3x3 convolution of each."""
    image: bool = True
    """The image's own colours are features too (paper: no)."""
    dtype: Literal["float32", "float16"] = "float32"
    """Stored number format; float16 halves the disk and rounds by up to 0.05 %."""
