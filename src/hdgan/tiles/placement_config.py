"""Section `[tiles.placement]`: where tiles lie."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hdgan.slides.regions.classes import is_of_class


class PlacementConfig(BaseModel):
    """Where tiles lie: on a grid, on the cells of the grid that hold outlined regions, or centred on outlined objects."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    way: Literal["grid", "intersecting", "centred"] = "grid"
    """`grid`: everywhere; `intersecting`: the cells of the grid that hold enough of the regions; `centred`: around each outlined object, moved inward
    at the edge of the slide. The last two need region files."""

    classes: tuple[str, ...] = ()
    """Classes that count, as written in the region files (capitals do not matter; "glomerulus" stands for "glomerulus: sclerosed" too). Empty: all but
    those whose name ends in *, which QuPath ignores."""

    not_classes: tuple[str, ...] = ()
    """Classes that do not count."""

    min_area_um2: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Least area of the regions in a cell (`intersecting`), or of an object (`centred`), um2."""

    min_share: float = Field(default=0.0, ge=0, le=1, allow_inf_nan=False)
    """Least share of a cell that the regions cover (`intersecting`)."""

    jitter_um: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """How far, at most, the middle of a tile lies from that of its object in x and in y, um (`centred`); less than half a tile."""

    tiles_per_object: int = Field(default=1, ge=1, le=1000)
    """Tiles around each object, each moved by its own draw (`centred`)."""

    tiles_per_object_of: dict[str, Annotated[int, Field(ge=1, le=1000)]] = Field(default_factory=dict)
    """The same for single classes, by name as in `classes`: {glomerulus = 7, artery = 5}, where one kind of object is rarer than another and all are to
    be learnt."""

    and_grid: bool = False
    """The tiles of the grid as well (`centred`), those of slides without a region file too: all of the tissue is learnt, and the outlined objects more
    often than a grid meets them."""

    without_regions: Literal["nothing", "grid"] = "nothing"
    """What a slide without a region file gives: no tile, or all of the grid."""

    @model_validator(mode="after")
    def _draws_differ(self) -> Self:
        if max(self.tiles_per_object, *self.tiles_per_object_of.values(), 0) > 1 and not self.jitter_um:
            raise ValueError("tiles_per_object above 1 needs jitter_um: without it they are all the same tile")
        if self.way != "centred" and (self.jitter_um or self.tiles_per_object > 1 or self.tiles_per_object_of or self.and_grid):
            raise ValueError('jitter_um, tiles_per_object, tiles_per_object_of and and_grid go with way = "centred"')
        if strange := [name for name in self.tiles_per_object_of if self.classes and not is_of_class(name, self.classes)]:
            raise ValueError(f"tiles_per_object_of names {', '.join(map(repr, strange))}, which classes do not: no tile lies around them")
        if self.way != "intersecting" and self.min_share:
            raise ValueError('min_share goes with way = "intersecting"')
        return self

    @property
    def unoutlined_give_grid(self) -> bool:
        """Whether a slide without a region file gives the tiles of its grid."""
        return self.way == "grid" or self.and_grid or self.without_regions == "grid"

    def tiles_around(self, class_name: str) -> int:
        """Tiles around an object of a class as a region file writes it; of two names that fit, the longer one says ("glomerulus: sclerosed")."""
        fitting = [name for name in self.tiles_per_object_of if is_of_class(class_name, (name,))]
        return self.tiles_per_object_of[max(fitting, key=len)] if fitting else self.tiles_per_object

    def recorded(self) -> dict[str, Any]:
        """What the manifest says of these settings; fields that earlier versions had not only where they are set, so that their runs stay current."""
        left_out = {name for name in ("and_grid", "tiles_per_object_of") if not getattr(self, name)}
        return self.model_dump(mode="json", exclude=left_out)
