"""Where the bodies of a painted slide lie: glomeruli, arteries, arterioles, and the outline of the tissue.

Sizes are diameters in um of healthy human cortex, times the scene's `scale`. Vessels and glomeruli are more frequent than in
life, so that small fields hold several classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hdgan.errors import BadInput
from hdgan.labels import KIDNEY
from hdgan.randomness import stream
from hdgan.testing.fields import Field, Window, key_of, smooth

WHITESPACE, TUBULOINTERSTITIUM, GLOMERULUS, ARTERIOLE, ARTERY = range(len(KIDNEY))

TUBULE_UM = 50.0
"""Distance between tubules; their diameters are 40 to 60 um."""
DIAMETERS_UM = {GLOMERULUS: (150.0, 200.0), ARTERY: (100.0, 200.0), ARTERIOLE: (25.0, 50.0)}
SHARES = {ARTERY: 0.09, GLOMERULUS: 0.16, ARTERIOLE: 0.035}
"""Share of the tissue's area that each kind aims at, largest kinds placed first."""
OUTLINES = ("core", "edge", "full")
_TRIES = 16
_HARMONICS = 4


@dataclass(frozen=True)
class Body:
    """One glomerulus or vessel."""

    kind: int
    """Class index."""
    x_um: float
    y_um: float
    radius_um: float
    """Mean radius of the outline."""
    waves: NDArray[np.float64]
    """`[4, 2]`: amplitude (share of the radius) and phase of the outline's harmonics 2, 3, 4, 5."""
    pole: float
    """Direction of the vascular pole, radians."""
    wall: float
    """Vessels: wall as a share of the radius. Glomeruli: radius of the tuft as a share."""
    key: int

    @property
    def reach_um(self) -> float:
        """No point of the outline lies farther from the centre."""
        return self.radius_um * (1 + float(self.waves[:, 0].sum()))


@dataclass(frozen=True)
class Scene:
    """All that is needed to draw any window of one slide."""

    seed: int
    width_um: float
    height_um: float
    scale: float
    outline: str
    edge: tuple[float, float]
    """Outline "edge": direction of the tissue (radians) and how far the border lies from the middle (um, negative: beyond it)."""
    bodies: tuple[Body, ...]
    fibrosis: float
    """0 to 1: how wide the spaces between tubules are."""

    def key(self, name: str) -> int:
        """The key of one of the scene's fields."""
        return key_of(self.seed, f"painter.{name}")


def lay_out(seed: int, *, width_um: float, height_um: float, scale: float, density: float, outline: str, coverage: float | None) -> Scene:
    """The scene of `seed`; `coverage` is about the share of an "edge" field that is tissue (None: drawn, often 1).

    Raises:
        BadInput: an outline that is not known, a scale or density that is not positive.
    """
    if outline not in OUTLINES:
        raise BadInput("painter", f"no outline {outline!r}", f"use one of {', '.join(OUTLINES)}")
    if not (scale > 0 and density >= 0):
        raise BadInput("painter", f"scale {scale}, density {density}", "give a scale above 0 and a density of at least 0")
    rng = stream(seed, "painter.scene")
    share = coverage if coverage is not None else float(rng.choice([1.2, rng.uniform(0.55, 0.95)], p=[0.35, 0.65]))
    angle = float(rng.uniform(0, 2 * np.pi))
    half = 0.5 * (abs(width_um * np.cos(angle)) + abs(height_um * np.sin(angle)))
    edge = (angle, float(half * (1 - 2 * share)))
    bodies = _place(seed, width_um, height_um, scale, density)
    return Scene(seed, width_um, height_um, scale, outline, edge, bodies, float(rng.uniform(0, 1)))


def tissue_depth(window: Window, scene: Scene) -> Field:
    """How far inside the tissue each pixel lies, about um, negative on glass; the border is ragged at three scales."""
    x, y = window.x_um[None, :], window.y_um[:, None]
    if scene.outline == "full":
        return np.full((window.height_px, window.width_px), 1e6, np.float32)
    if scene.outline == "core":
        rx, ry = 0.43 * scene.width_um, 0.43 * scene.height_um
        u, v = np.abs(x - scene.width_um / 2) / rx, np.abs(y - scene.height_um / 2) / ry
        depth = (1 - np.sqrt(np.sqrt(np.square(np.square(u)) + np.square(np.square(v))))) * min(rx, ry)
    else:
        angle, offset = scene.edge
        depth = (x - scene.width_um / 2) * np.cos(angle) + (y - scene.height_um / 2) * np.sin(angle) - offset
    rough = np.zeros((window.height_px, window.width_px), np.float32)
    reach = 0.12 * min(scene.width_um, scene.height_um)
    for i, (period, height) in enumerate(((260.0, 60.0), (70.0, 16.0), (14.0, 5.0))):
        rough += np.float32(min(height * scene.scale, reach)) * smooth(window, period * scene.scale, scene.key("border") + i)
    return np.asarray(depth + rough, np.float32)


def outline_radius(body: Body, angle: Field) -> Field:
    """The distance of the outline from the centre, um, in the directions `angle`."""
    wave = np.zeros_like(angle)
    for i, (amplitude, phase) in enumerate(body.waves):
        wave += np.float32(amplitude) * np.cos((i + 2) * angle + np.float32(phase))
    return np.asarray(np.float32(body.radius_um) * (1 + wave), np.float32)


def _place(seed: int, width_um: float, height_um: float, scale: float, density: float) -> tuple[Body, ...]:
    """Bodies that do not touch, large kinds first; half of the arterioles stand at the pole of a glomerulus."""
    rng = stream(seed, "painter.bodies")
    pad = 0.5 * DIAMETERS_UM[ARTERY][1] * scale
    area = (width_um + 2 * pad) * (height_um + 2 * pad)
    bodies: list[Body] = []
    circles = np.empty((0, 3))
    for kind, share in SHARES.items():
        low, high = (0.5 * d * scale for d in DIAMETERS_UM[kind])
        wanted = density * share * area / (np.pi * (low + high) ** 2 / 4)
        poles = [b for b in bodies if b.kind == GLOMERULUS] if kind == ARTERIOLE else []
        for _ in range(int(wanted + rng.random())):
            host = poles.pop() if poles and rng.random() < 0.5 else None
            body = _fit(rng, kind, low, high, circles, host, (width_um, height_um, pad), scale)
            if body is not None:
                bodies.append(body)
                circles = np.vstack((circles, (body.x_um, body.y_um, body.reach_um)))
    return tuple(bodies)


def _fit(
    rng: np.random.Generator,
    kind: int,
    low: float,
    high: float,
    circles: NDArray[np.float64],
    host: Body | None,
    field: tuple[float, float, float],
    scale: float,
) -> Body | None:
    """One body where there is room for it, beside `host` if given, or None when no try found any."""
    width_um, height_um, pad = field
    for attempt in range(_TRIES):
        radius = float(rng.uniform(low, high))
        limits = np.array([0.06, 0.035, 0.025, 0.015]) * (1.0 if kind == GLOMERULUS else 1.7)
        waves = np.stack((rng.uniform(0, 1, _HARMONICS) * limits, rng.uniform(0, 2 * np.pi, _HARMONICS)), axis=1)
        x, y = float(rng.uniform(-pad, width_um + pad)), float(rng.uniform(-pad, height_um + pad))
        wall = float(rng.uniform(0.70, 0.80) if kind == GLOMERULUS else rng.uniform(0.45, 0.62))
        pole, key = float(rng.uniform(0, 2 * np.pi)), int(rng.integers(2**32))
        reach = radius * (1 + waves[:, 0].sum())
        if host is not None and attempt == 0:
            distance = host.reach_um + reach + 1.5 * scale
            x, y = host.x_um + distance * np.cos(host.pole), host.y_um + distance * np.sin(host.pole)
        gaps = np.hypot(circles[:, 0] - x, circles[:, 1] - y) - circles[:, 2] - reach
        if not len(gaps) or gaps.min() > scale:
            return Body(kind, x, y, radius, waves, pole, wall, key)
    return None
