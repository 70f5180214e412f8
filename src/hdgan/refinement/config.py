"""Settings of the contour clean-up."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from hdgan.errors import BadConfig
from hdgan.labels import ClassMap


class RefinementConfig(BaseModel):
    """What is done to the ensemble's mean probabilities before a pixel gets its label, and to the labels after it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    radius_px: int = Field(default=2, ge=0, le=256)
    """Half the edge of the windows in which probabilities follow the image (guided filter); 0: not filtered."""
    epsilon: float = Field(default=0.001, gt=0, le=1)
    """Variance of brightness (0 to 1) that a window needs to count as an edge: smaller keeps weaker edges, larger smooths more."""
    smallest_object_px: int = Field(default=0, ge=0)
    """Connected pieces of a class with fewer pixels are given to the class nearest to each of their pixels; 0: none."""
    smallest_object_px_of: dict[str, int] = Field(default_factory=dict)
    """The same for single classes, by name: {"glomerulus" = 400}."""
    smallest_hole_px: int = Field(default=0, ge=0)
    """Holes in a class with fewer pixels are filled; 0: none. A lumen is a hole too."""
    smallest_hole_px_of: dict[str, int] = Field(default_factory=dict)
    """The same for single classes, by name."""

    def check(self, classes: ClassMap) -> None:
        """Passes when every name is a class.

        Raises:
            BadConfig: one is not, or a limit is negative.
        """
        self.object_limits(classes)
        self.hole_limits(classes)

    def object_limits(self, classes: ClassMap) -> tuple[int, ...]:
        """Smallest object of each class in its mask order, px.

        Raises:
            BadConfig: a name is no class, or a limit negative.
        """
        return _limits("smallest_object_px_of", self.smallest_object_px, self.smallest_object_px_of, classes)

    def hole_limits(self, classes: ClassMap) -> tuple[int, ...]:
        """Smallest hole of each class in its mask order, px.

        Raises:
            BadConfig: a name is no class, or a limit negative.
        """
        return _limits("smallest_hole_px_of", self.smallest_hole_px, self.smallest_hole_px_of, classes)


def _limits(field: str, default: int, named: dict[str, int], classes: ClassMap) -> tuple[int, ...]:
    for name, limit in named.items():
        if name not in classes.names:
            raise BadConfig(f"refinement.{field}", f"no class {name!r}", f"known are {', '.join(classes.names)}")
        if limit < 0:
            raise BadConfig(f"refinement.{field}", f"{limit} px for {name!r}", "give 0 or more")
    return tuple(named.get(name, default) for name in classes.names)
