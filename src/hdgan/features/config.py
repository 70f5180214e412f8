"""Settings of the features stage."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Source = Literal["native", "recompute", "upsampled"]
"""Where features come from when they are asked for."""


class FeaturesConfig(BaseModel):
    """Which maps are tapped and how they are kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_blocks: int = Field(5, ge=1, le=11)
    """Blocks of the generator that are tapped, counted from the finest (paper: 5); every 3x3 convolution of each."""
    image: bool = True
    """The image's own colours are features too (paper: no)."""
    source: Literal["auto", "native", "recompute", "upsampled"] = "auto"
    """Where features are kept: `native` maps on the disk, nowhere (`recompute`: drawn again from the latent when needed), or `upsampled`
    and concatenated on the disk as the paper has them. The classifier is the same whichever; `auto` goes by the budgets."""
    dtype: Literal["float32", "float16"] = "float32"
    """Number format of the features; float16 halves the disk and rounds by up to 0.05 %."""
    memory_budget_gib: float | None = Field(None, gt=0)
    """Memory that extracting and fitting may take, GiB; left out: three quarters of the machine's. What is made does not depend on it."""
    disk_budget_gib: float | None = Field(None, gt=0)
    """Disk that features may take, GiB; left out: three quarters of what is free."""

    def recorded(self) -> dict[str, Any]:
        """What the features are made from: all but the budgets."""
        return self.model_dump(mode="json", exclude={"memory_budget_gib", "disk_budget_gib"})
