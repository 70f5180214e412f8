"""Colours of painted slides: four stains, and what a centre's chemistry and scanner make of them.

Light is absorbed (Beer-Lambert): each material has an optical density per colour channel, densities add, and the pixel is
glass * 10^-density. Every class of tissue is drawn with the same three materials.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hdgan.errors import BadInput
from hdgan.randomness import stream
from hdgan.testing.fields import Field

STAINS: dict[str, tuple[tuple[int, int, int], ...]] = {
    "he": ((86, 52, 128), (222, 140, 180), (214, 112, 160)),
    "pas": ((92, 84, 146), (206, 164, 208), (172, 70, 158)),
    "jones": ((98, 74, 112), (216, 178, 186), (70, 58, 66)),
    "trichrome": ((84, 36, 72), (206, 92, 116), (82, 122, 186)),
}
"""RGB of full-strength nucleus, cytoplasm and matrix (membranes, collagen, elastic fibres) on white glass."""


@dataclass(frozen=True)
class Dyes:
    """One stain as one centre does it."""

    density: Field
    """Optical densities `[3 materials, 3 channels]`."""
    glass: Field
    """Levels `[3]` of empty glass, 0 to 255."""
    noise: float
    """Grain of the camera, in grey levels."""

    def light(self, amounts: Field) -> Field:
        """The share of the light `[3 channels, H, W]` that passes material amounts `[3 materials, H, W]` (0: none, 1: full)."""
        density = np.tensordot(self.density.T, amounts.astype(np.float32), axes=1)
        return np.asarray(np.exp(density * np.float32(-np.log(10))), np.float32)


def mix_dyes(stain: str, *, centre: str, patient: str) -> Dyes:
    """The dyes of `stain` in the hands of `centre`, with a small difference from patient to patient.

    Depends on the three names only: a centre looks the same on every slide it made.

    Raises:
        BadInput: there is no such stain.
    """
    if stain not in STAINS:
        raise BadInput("painter", f"no stain {stain!r}", f"use one of {', '.join(STAINS)}")
    density = -np.log10(np.asarray(STAINS[stain], np.float64) / 255.0)
    site = stream(0, f"painter.centre.{centre}")
    bleed = np.eye(3) + site.uniform(-0.09, 0.09, (3, 3))
    density = density @ bleed * site.uniform(0.82, 1.18, (3, 1))
    person = stream(0, f"painter.stain.{centre}.{patient}.{stain}")
    density = density * person.uniform(0.92, 1.08, (3, 1))
    glass = 242 + site.uniform(-5, 5) + site.uniform(-2.5, 2.5, 3)
    return Dyes(np.clip(density, 0.01, None).astype(np.float32), glass.astype(np.float32), float(site.uniform(1.5, 3.5)))


def expose(light: Field, *, dyes: Dyes, grain: Field) -> np.ndarray:
    """The photograph, uint8 `[H, W, 3]`, of transmitted `light [3, H, W]` in 0 to 1, with `grain [H, W]` in -1 to 1."""
    levels = dyes.glass[:, None, None] * light + np.float32(dyes.noise) * grain
    return np.ascontiguousarray(np.clip(np.rint(levels), 0, 255).astype(np.uint8).transpose(1, 2, 0))
