"""Settings of the samples stage."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class SamplesConfig(BaseModel):
    """How many images are drawn, how far from the mean, and how many are proposed for annotation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    num: int = Field(default=500, ge=1, le=1_000_000)
    """Images to draw (500 in the paper). Always one at a time, in float32: a batch changes the rounding of its images."""

    psi: float = Field(default=0.7, gt=0, le=2, allow_inf_nan=False)
    """Truncation of the latents, 0 (all equal to the mean) to 1 (none); 0.7 in the paper."""

    condition: str | None = Field(default=None, min_length=1)
    """Stain, centre or patient (what `generator.condition` names) of all images; left out: each of the training tiles' in their shares."""

    shortlist: int = Field(default=36, ge=1, le=10_000)
    """Images proposed for annotation, chosen for variety by the image alone (36 annotated in the paper); at most `num`."""

    def recorded(self) -> dict[str, Any]:
        """What the manifest says of these settings; without a condition as earlier versions wrote it, so that their banks stay current."""
        return self.model_dump(mode="json", exclude={"condition"} if self.condition is None else set())
