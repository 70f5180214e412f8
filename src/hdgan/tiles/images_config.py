"""Settings of a tiles stage that takes images which are cut already."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class ImagesConfig(BaseModel):
    """With this section the sources are images, each of which becomes one tile: folders, StyleGAN ZIPs, single files, or tables of images."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fit: Literal["exact", "crop", "shrink"] = "exact"
    """What is done with an image that is larger than a tile: `exact` refuses it, `crop` takes its middle at its own scale, `shrink` takes the largest square in
    its middle and averages it by area. A smaller one is always refused: nothing is enlarged."""

    window: Literal["full", "range", "percentiles", "each"] = "full"
    """Which values of images with more than 8 bits become 0 and 255: `full` the ends of the number format, `range` the two of `window_range`,
    `percentiles` those of all pixels of the set together, `each` those of each image (which loses what differs
    between images). 8-bit images stay as they are."""

    window_range: tuple[float, float] | None = None
    """The two values of `window = "range"`, such as [0, 4095]."""

    window_percentiles: tuple[float, float] = (0.1, 99.9)
    """The two percentiles of `percentiles` and `each`."""

    labels: Literal["stain", "centre", "patient", "none"] = "stain"
    """Column of the tile index that the labels of a `dataset.json` go to; a table goes before it."""

    max_background: float = Field(default=1.0, ge=0, le=1, allow_inf_nan=False)
    """An image with a larger share of background is dropped; 1 keeps all. (`tiles.max_background` is that of slides.)"""

    @model_validator(mode="after")
    def _windows_fit(self) -> Self:
        if (self.window == "range") != (self.window_range is not None):
            raise ValueError('window_range goes with window = "range"')
        low, high = self.window_percentiles
        if not 0 <= low < high <= 100:
            raise ValueError("window_percentiles: two rising numbers from 0 to 100")
        if self.window_range is not None and not self.window_range[0] < self.window_range[1]:
            raise ValueError("window_range: two rising numbers")
        return self
