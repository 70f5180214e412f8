"""Kidney-like images with exact five-class masks: a truth nobody had to draw.

Classes are those of `hdgan.labels.KIDNEY`, as in the figures of arXiv 2207.02712: a tubule's lumen, casts and everything between
tubules are tubulointerstitium; a glomerulus reaches to the outer face of its capsule, Bowman's space and capillary lumens
included; a vessel reaches to the outer face of its coat, lumen included; whitespace is glass outside the tissue. Colour tells none
of the tissue classes apart (`tissues.py`), and lumens are as white as glass.

A pixel's class is that of its centre. Images are rendered in bands, so memory does not grow with what is being drawn.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hdgan.errors import BadInput
from hdgan.testing import tissues
from hdgan.testing.anatomy import (
    GLOMERULUS,
    TUBULE_UM,
    TUBULOINTERSTITIUM,
    WHITESPACE,
    Body,
    Scene,
    lay_out,
    outline_radius,
    tissue_depth,
)
from hdgan.testing.fields import Field, Window, grain, smooth, step
from hdgan.testing.stains import Dyes, expose, mix_dyes

_BAND_PIXELS = 1 << 18
"""Pixels rendered at once: the working arrays then fit into the processor's cache."""


@dataclass(frozen=True)
class Painting:
    """An image, its exact mask, and how it came about."""

    image: np.ndarray
    """uint8 `[H, W, 3]`."""
    mask: np.ndarray
    """uint8 `[H, W]`, class indices of `hdgan.labels.KIDNEY`."""
    mpp: float
    stain: str
    centre: str
    patient: str
    seed: int


def paint(
    seed: int,
    *,
    size_px: int | tuple[int, int],
    mpp: float = 0.5,
    stain: str = "pas",
    centre: str = "north",
    patient: str = "p00",
    scale: float = 1.0,
    density: float = 1.0,
    outline: str = "edge",
    coverage: float | None = None,
) -> Painting:
    """The painting of `seed`: everything in it is a function of the arguments.

    Args:
        seed: of the scene; stain, centre and patient change colours only.
        size_px: edge, or (height, width).
        mpp: um per pixel.
        stain: one of `stains.STAINS`: he, pas, jones, trichrome.
        centre: any name; each has its own chemistry and scanner.
        patient: any name; each differs a little in colour.
        scale: size of all structures, 1 being life size. Fields of 64 px show several classes at 4 um/px with scale 0.7.
        density: frequency of glomeruli and vessels.
        outline: "core" (tissue in the middle, glass all around), "edge" (a border may cross the field) or "full" (tissue only).
        coverage: about which share of an "edge" field is tissue; None: drawn.

    Raises:
        BadInput: an unknown stain or outline, or a number that is not positive.
    """
    height_px, width_px = (size_px, size_px) if isinstance(size_px, int) else size_px
    if min(height_px, width_px) < 1 or not mpp > 0:
        raise BadInput("painter", f"{height_px} x {width_px} px at {mpp} um/px", "give positive numbers")
    dyes = mix_dyes(stain, centre=centre, patient=patient)
    scene = lay_out(
        seed, width_um=width_px * mpp, height_um=height_px * mpp, scale=scale, density=density, outline=outline, coverage=coverage
    )
    image, mask = np.empty((height_px, width_px, 3), np.uint8), np.empty((height_px, width_px), np.uint8)
    rows = max(1, _BAND_PIXELS // width_px)
    for y_px in range(0, height_px, rows):
        window = Window(0, y_px, width_px, min(rows, height_px - y_px), mpp)
        image[y_px : y_px + rows], mask[y_px : y_px + rows] = render(scene, window, dyes), truth(scene, window)
    return Painting(image, mask, mpp, stain, centre, patient, seed)


def render(scene: Scene, window: Window, dyes: Dyes) -> np.ndarray:
    """The image uint8 `[H, W, 3]` of one window; a window cut from a larger one has the same pixels.

    Pixels larger than the finest structures are averaged over 2 x 2 points.
    """
    fine = 2 if window.mpp > 1.2 * scene.scale else 1
    dense = Window(window.x_px * fine, window.y_px * fine, window.width_px * fine, window.height_px * fine, window.mpp / fine)
    margin = 1.5 * TUBULE_UM * scene.scale
    clear = np.full((dense.height_px, dense.width_px), margin, np.float32)
    drawn: list[tuple[tuple[slice, slice], Field, Field]] = []
    for body, part in _near(scene, dense, margin):
        place = dense.slices(part)
        polar = _polar(part, body)
        below = polar["outline"] - polar["radius"]
        clear[place] = np.minimum(clear[place], -below)
        cover = step(below, dense.mpp)
        if cover.any():
            draw = tissues.glomerulus if body.kind == GLOMERULUS else tissues.vessel
            drawn.append((place, draw(part, scene, body, **polar), cover))
    amounts = tissues.tubulointerstitium(dense, scene, clear)
    for place, over, cover in drawn:
        amounts[:, *place] = amounts[:, *place] * (1 - cover) + over * cover
    thickness = 1 + np.float32(0.12) * smooth(dense, 300 * scene.scale, scene.key("thickness"))
    amounts *= step(tissue_depth(dense, scene), dense.mpp) * thickness
    light = dyes.light(amounts)
    if fine > 1:
        light = light.reshape(3, window.height_px, fine, window.width_px, fine).mean(axis=(2, 4))
    return expose(light, dyes=dyes, grain=grain(window, scene.key("grain")))


def truth(scene: Scene, window: Window) -> np.ndarray:
    """The mask uint8 `[H, W]` of one window: the class at the centre of each pixel."""
    mask = np.full((window.height_px, window.width_px), TUBULOINTERSTITIUM, np.uint8)
    for body, part in _near(scene, window, 0.0):
        polar = _polar(part, body)
        mask[window.slices(part)][polar["outline"] > polar["radius"]] = body.kind
    mask[tissue_depth(window, scene) <= 0] = WHITESPACE
    return mask


def _near(scene: Scene, window: Window, margin_um: float) -> list[tuple[Body, Window]]:
    """The bodies that reach into the window or come within `margin_um` of it, each with the part that it concerns."""
    parts = [(body, window.around(body.x_um, body.y_um, body.reach_um + margin_um)) for body in scene.bodies]
    return [(body, part) for body, part in parts if part is not None]


def _polar(window: Window, body: Body) -> dict[str, Field]:
    """Each pixel's `radius` (um) and `angle` (radians) around the body's centre, and the `outline` radius in that direction."""
    dx, dy = window.x_um[None, :] - np.float32(body.x_um), window.y_um[:, None] - np.float32(body.y_um)
    angle = np.arctan2(dy, dx)
    return {"radius": np.sqrt(dx * dx + dy * dy), "angle": angle, "outline": outline_radius(body, angle)}
