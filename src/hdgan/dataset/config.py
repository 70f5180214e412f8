"""Settings of the dataset stage."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from hdgan.refinement.config import RefinementConfig


class DatasetConfig(BaseModel):
    """How many labelled pairs are written, and which are held back."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    num: int = Field(default=1000, ge=1, le=100_000_000)
    """Pairs in the finished dataset."""
    psi: float = Field(default=0.7, ge=0, le=1)
    """Truncation of the latents: 1 draws from the whole distribution, 0 the mean image alone (the paper: 0.7)."""
    condition: str | None = Field(default=None, min_length=1)
    """Stain, centre or patient (what `generator.condition` names) of all images; left out: each of the training tiles' in their shares."""
    drop_share: float = Field(default=0.1, ge=0, le=0.9)
    """Share of the candidates that is dropped as most uncertain (DatasetGAN's best: 0.1); rounded down to whole images."""
    top_share: float = Field(default=0.1, gt=0, le=1)
    """Share of the pixels of an image, its most uncertain ones, whose mean is the image's uncertainty (DatasetGAN: 0.1)."""
    ignore_above: float | None = Field(default=None, ge=0)
    """Pixels of larger uncertainty (nats) are written as 255, ignored; unset: every pixel keeps its label."""
    refinement: RefinementConfig | None = None
    """Clean-up of the contours; left out: none. `hdgan evaluate` measures what it does before it is used."""
    uncertainty_maps: bool = False
    """Also write `uncertainty/<stem>.png`: 0 to 255 for 0 to ln(number of classes) nats."""
    title: str = "Synthetic labelled histology"
    """Heading of the dataset card."""
    licence: str = "not stated"
    """Licence of the dataset, as its card states it."""
    attribution: str = "not stated"
    """Whose images the generator was trained on, as the card states it."""
    shard: int = Field(default=16, ge=1)
    """Candidates between two notes of what is done; a killed run draws at most so many again."""

    def recorded(self) -> dict[str, Any]:
        """What the manifest says of these settings; without a condition or a refinement as earlier versions wrote it, so that their datasets stay current."""
        return self.model_dump(mode="json", exclude={name for name in ("condition", "refinement") if getattr(self, name) is None})
