"""Settings of the samples stage."""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


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

    random: int = Field(default=0, ge=0, le=10_000)
    """Images drawn at random from those that are not on the shortlist, as a second test set (`annotations.random_test`); 0: none."""

    @model_validator(mode="after")
    def _enough_are_left(self) -> Self:
        left = max(self.num - self.shortlist, 0)
        if self.random > left:
            raise ValueError(f"random: {self.random} images, and {left} of {self.num} are not on the shortlist; draw more or ask for fewer")
        return self

    def recorded(self) -> dict[str, Any]:
        """What the manifest says of these settings; without what they leave out as earlier versions wrote it, so that their banks stay current."""
        left_out = ({"condition"} if self.condition is None else set()) | ({"random"} if self.random == 0 else set())
        return self.model_dump(mode="json", exclude=left_out)
