"""The scene an analytic generator draws: a few shapes placed by a latent, an image of them, and the exact class of any pixel.

A latent w `[N, D]` gives `NUM_PARAMS` numbers, of unit variance when w is; they bend, move and tint the shapes of five classes
(`hdgan.labels.KIDNEY`). Lengths are in edges of the image, so a latent shows the same scene at every resolution. All is smooth in w
but for the mask. Letters: N images, R resolution in px, D width of w.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from hdgan.testing.anatomy import ARTERIOLE, ARTERY, GLOMERULUS, TUBULOINTERSTITIUM, WHITESPACE

NUM_CLASSES = 5
_WHITE, _NUCLEUS, _MATRIX, _CYTOPLASM = (0.90, 0.89, 0.90), (-0.30, -0.42, 0.16), (0.34, -0.40, 0.30), (0.68, 0.24, 0.60)


@dataclass(frozen=True)
class Disc:
    """A shape's class, where it lies without a latent, its radius, and how far the latent changes that."""

    kind: int
    x: float
    y: float
    radius: float
    spread: float


DISCS = (
    Disc(GLOMERULUS, 0.28, 0.30, 0.175, 0.025),
    Disc(GLOMERULUS, 0.72, 0.70, 0.160, 0.025),
    Disc(ARTERY, 0.74, 0.26, 0.125, 0.025),
    Disc(ARTERIOLE, 0.25, 0.72, 0.062, 0.010),
    Disc(ARTERIOLE, 0.50, 0.52, 0.062, 0.010),
    Disc(ARTERIOLE, 0.52, 0.88, 0.062, 0.010),
)
"""Later ones lie on top of earlier ones."""
RARE_DISCS = (*DISCS[:3], Disc(ARTERIOLE, 0.25, 0.72, 0.033, 0.005))
"""The same with one small arteriole: its class has about 0.3 % of the pixels, as in the paper's images."""
_ROAM = 0.24
_PER_DISC = 4
NUM_PARAMS = _PER_DISC * len(DISCS) + 9
"""For each disc x, y, radius, phase of its outline; 3 for the border of the tissue, 3 for the mosaic of tubules, 3 for the colour."""


@dataclass(frozen=True)
class Scene:
    """What lies where: everything `[N, R, R]`."""

    discs: tuple[Disc, ...]
    """The shapes, bottom to top."""
    depth: tuple[Tensor, ...]
    """For each disc the distance below its outline, negative outside."""
    angle: tuple[Tensor, ...]
    """Direction from the centre of each disc, radians."""
    radius: tuple[Tensor, ...]
    """Outline radius of each disc in that direction."""
    border: Tensor
    """Distance below the border of the tissue, negative on glass."""
    mosaic: tuple[Tensor, Tensor]
    """Two phases that repeat with every tubule."""
    tint: Tensor
    """`[N, 3]`."""


def arrange(params: Tensor, *, resolution: int, discs: tuple[Disc, ...] = DISCS) -> Scene:
    """The scene of parameters `[N, NUM_PARAMS]`, in their number format; `discs` are at most as many as in `DISCS`."""
    at = (torch.arange(resolution, dtype=params.dtype) + 0.5) / resolution
    x, y = at.view(1, 1, -1), at.view(1, -1, 1)
    p = params.t()[:, :, None, None]
    depth, angle, radius = [], [], []
    for i, disc in enumerate(discs):
        px, py, pr, phase = p[_PER_DISC * i : _PER_DISC * (i + 1)]
        dx, dy = x - (disc.x + _ROAM * torch.tanh(px)), y - (disc.y + _ROAM * torch.tanh(py))
        turn = torch.atan2(dy, dx)
        size = (disc.radius + disc.spread * torch.tanh(pr)) * (
            1 + 0.10 * torch.cos(2 * turn + 2 * phase) + 0.05 * torch.cos(3 * turn - phase)
        )
        depth.append(size - torch.sqrt(dx * dx + dy * dy + 1e-12))
        angle.append(turn)
        radius.append(size)
    first = _PER_DISC * len(DISCS)
    side, offset, wave = p[first : first + 3]
    nx, ny = torch.cos(math.pi * side), torch.sin(math.pi * side)
    along = (y - 0.5) * nx - (x - 0.5) * ny
    border = (x - 0.5) * nx + (y - 0.5) * ny + 0.31 + 0.13 * torch.tanh(offset) + 0.03 * torch.sin(11 * along + wave)
    rotation, shift_u, shift_v = p[first + 3 : first + 6]
    c, s = torch.cos(0.6 * rotation), torch.sin(0.6 * rotation)
    u, v = (x - 0.5) * c + (y - 0.5) * s, (y - 0.5) * c - (x - 0.5) * s
    # Neighbouring rows of tubules are shifted by bending the lattice: a perfect grid would give itself away at one frequency.
    bend = 0.035 * torch.sin(9 * u + shift_v)
    mosaic = (2 * math.pi * 6.5 * (u + 0.08 * shift_u), 2 * math.pi * 6.5 * (v + bend + 0.08 * shift_v))
    return Scene(discs, tuple(depth), tuple(angle), tuple(radius), border, mosaic, params[:, first + 6 :])


def classes(scene: Scene) -> Tensor:
    """The class uint8 `[N, R, R]` at the centre of each pixel."""
    mask = torch.full_like(scene.border, TUBULOINTERSTITIUM, dtype=torch.uint8)
    for disc, depth in zip(scene.discs, scene.depth, strict=True):
        mask = torch.where(depth > 0, disc.kind, mask)
    return torch.where(scene.border > 0, mask, WHITESPACE).to(torch.uint8)


def shares(scene: Scene) -> Tensor:
    """How much of each class a pixel sees, `[N, 5, R, R]`, summing to 1: `classes` with edges about a pixel wide."""
    grounds = torch.zeros(len(scene.border), NUM_CLASSES, *scene.border.shape[1:], dtype=scene.border.dtype)
    grounds[:, TUBULOINTERSTITIUM] = 1
    for kind, cover in _covers(scene):
        grounds = grounds * (1 - cover).unsqueeze(1)
        grounds[:, kind] += cover
    return grounds


def picture(scene: Scene, *, contrast: float = 1.0) -> Tensor:
    """The image `[N, 3, R, R]`, about -1 to 1; each class has its arrangement of the same four colours.

    With less `contrast` shapes look less unlike the tubules around them, down to nothing at 0.
    """
    tubules = _tubules(scene)
    materials = tubules
    for i, disc in enumerate(scene.discs):
        draw = {GLOMERULUS: _glomerulus, ARTERY: _artery, ARTERIOLE: _arteriole}[disc.kind]
        shape = draw(scene, i) if contrast == 1 else torch.lerp(tubules, draw(scene, i), contrast)
        materials = torch.lerp(materials, shape, _cover(scene.depth[i]).unsqueeze(1))
    glass = torch.zeros_like(materials)
    glass[:, 0] = 1
    materials = torch.lerp(glass, materials, _cover(scene.border).unsqueeze(1))
    palette = torch.tensor((_WHITE, _NUCLEUS, _MATRIX, _CYTOPLASM), dtype=materials.dtype)
    tint = 0.08 * torch.tanh(scene.tint)[:, None, :] * torch.tensor([0.1, 1, 1, 1], dtype=materials.dtype)[:, None]
    return torch.einsum("nmhw,nmc->nchw", materials, palette + tint).contiguous()


def _covers(scene: Scene) -> list[tuple[int, Tensor]]:
    """What is laid over the tubules, bottom to top, glass last."""
    discs = [(disc.kind, _cover(depth)) for disc, depth in zip(scene.discs, scene.depth, strict=True)]
    return [*discs, (WHITESPACE, 1 - _cover(scene.border))]


def _cover(depth: Tensor) -> Tensor:
    """How much of a pixel lies inside, by the distance of its centre from the edge."""
    return torch.sigmoid(4 * depth.shape[-1] * depth)


def _stack(white: Tensor, nucleus: Tensor, matrix: Tensor) -> Tensor:
    """Shares of the four materials `[N, 4, R, R]`; white goes before nucleus before matrix, cytoplasm is the rest."""
    nucleus = nucleus * (1 - white)
    matrix = matrix * (1 - white - nucleus)
    return torch.stack((white, nucleus, matrix, 1 - white - nucleus - matrix), dim=1)


def _above(field: Tensor, level: float, sharpness: float = 9.0) -> Tensor:
    return torch.sigmoid(sharpness * (field - level))


def _tubules(scene: Scene) -> Tensor:
    """A mosaic: wide lumens, a row of nuclei around them, membranes between."""
    u, v = scene.mosaic
    middle = 0.5 * (torch.cos(u) + torch.cos(v))
    dots = torch.cos(3 * u) * torch.cos(3 * v)
    return _stack(_above(middle, 0.42), _above(dots, 0.55) * _above(-middle, -0.25), _above(-middle, 0.42))


def _glomerulus(scene: Scene, i: int) -> Tensor:
    """A white space below the capsule, then a mosaic three times as fine, or as fine as pixels allow."""
    u, v = scene.mosaic
    factor = min(3.0, scene.border.shape[-1] / 3.0 / 6.5)
    fine = 0.5 * (torch.cos(factor * u) + torch.cos(factor * v))
    below = scene.depth[i] / scene.radius[i]
    ring = _above(below, 0.08, 40.0) * _above(-below, -0.22, 40.0)
    tuft = _above(below, 0.22, 40.0)
    return _stack(ring + tuft * _above(fine, 0.45), tuft * _above(-fine, 0.30), (1 - tuft) * 0.9 + tuft * _above(fine, -0.1) * 0.5)


def _artery(scene: Scene, i: int) -> Tensor:
    """Rings of lying nuclei around a lumen."""
    below = scene.depth[i] / scene.radius[i]
    rings = torch.cos(2 * math.pi * below / 0.24)
    spokes = torch.cos(9 * scene.angle[i])
    lumen = _above(below, 0.60 + 0.0, 40.0)
    return _stack(lumen, _above(rings + 0.8 * spokes, 1.0), _above(-rings, 0.35))


def _arteriole(scene: Scene, i: int) -> Tensor:
    """One ring of nuclei around a small lumen."""
    below = scene.depth[i] / scene.radius[i]
    spokes = torch.cos(5 * scene.angle[i])
    ring = _above(below, 0.18, 25.0) * _above(-below, -0.5, 25.0)
    return _stack(_above(below, 0.62, 25.0), ring * _above(spokes, 0.0), 1 - _above(below, 0.18, 25.0))
