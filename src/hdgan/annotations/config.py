"""Settings of the annotations stage."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from hdgan.annotations.split import Part

DrawOrder = Literal["area", "file", "class"]
"""Which region is drawn first: the largest, the first in the file, or that of the first class in the class map."""

_LATER = ("corrector", "random_test")
"""Settings that earlier versions had not."""


class AnnotationsConfig(BaseModel):
    """Where the masks are, who drew them, what their values mean, and how they are divided."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    masks: Path | None = None
    """Folder with `<sample name>.png` and/or `<sample name>.geojson`; a relative path starts at the folder of the settings."""

    class_map: Path | None = None
    """Class map file (docs/formats/classes.md); none: the five classes of the paper."""

    class_mapping: Path | None = None
    """Names as drawn in GeoJSON -> class names (docs/formats/annotations.md); none: class names only."""

    background: str | None = None
    """Class of pixels that no GeoJSON region covers; none: they are ignored (255)."""

    draw_order: DrawOrder = "area"
    """Which GeoJSON region is drawn first and covered by those after it: the largest, the first in the file, or the first in the class map."""

    annotator: str = Field(default="unnamed", min_length=1, max_length=200)
    """Who drew the masks, as it stands in every report; a person or a named model. `masks.json` may name one for each mask."""

    corrections: Path | None = None
    """Folder with `<sample name>.geojson`: regions painted over the masks (of an oracle, mostly), where a person looked at them; a relative
    path starts at the folder of the settings."""

    corrector: str = Field(default="unnamed", min_length=1, max_length=200)
    """Who corrected. `corrections.json` may name one for each mask."""

    train: int = Field(default=16, ge=1, le=100_000)
    """Images that train the pixel classifier (16 in the paper)."""

    validate_: int = Field(default=4, ge=0, le=100_000, alias="validate")
    """Images that decide when training stops (4 in the paper)."""

    test: int = Field(default=16, ge=0, le=100_000)
    """Images that are only measured (16 in the paper)."""

    random_test: int = Field(default=0, ge=0, le=10_000)
    """Images drawn at random (`samples.random`) that are measured apart from the others and never train; 0: none."""

    @property
    def sizes(self) -> dict[Part, int]:
        """Images in each part of the split, but for those drawn at random."""
        return {"train": self.train, "validate": self.validate_, "test": self.test}

    @property
    def num_images(self) -> int:
        """Images in all parts together."""
        return sum(self.sizes.values()) + self.random_test

    def recorded(self) -> dict[str, Any]:
        """The settings as the manifest keeps them: files count by their content, which stands with the inputs, not by where they lie."""
        left_out = {"masks", "class_map", "class_mapping", "corrections"}
        # As earlier versions wrote it, so that their annotations stay current.
        left_out |= {name for name in _LATER if getattr(self, name) == type(self).model_fields[name].default}
        return self.model_dump(mode="json", by_alias=True, exclude=left_out)
